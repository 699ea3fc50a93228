from scripts.cli.app import main

main()
