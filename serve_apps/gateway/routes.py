"""Which version of a model answers. Pure: the random number comes in."""

from serve_apps.gateway.errors import model_not_found, model_unavailable
from serve_apps.gateway.table import Arm, Table


def pick_arm(table: Table, model: str, point: float) -> Arm:
    """The arm that owns `point` (uniform in [0, 1)) on the line of the model's weights.

    Raises ApiError: 404 for an unknown model, 503 where no arm has weight.
    """
    arms = table.models.get(model)
    if arms is None:
        raise model_not_found(model, table.models)
    weighted = [arm for arm in arms if arm.weight > 0]
    if not weighted:
        raise model_unavailable(model, "no version of it takes traffic")
    remaining = point * sum(arm.weight for arm in weighted)
    for arm in weighted[:-1]:
        remaining -= arm.weight
        if remaining < 0:
            return arm
    return weighted[-1]
