"""Drivers: how a node's agent sees and cuts the devices of its node."""
