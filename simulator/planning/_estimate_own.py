"""Collectives of a step on a fabric that its user measured: groups are asked about as the measured ones are known."""

from collections.abc import Iterable
from dataclasses import replace

from simulator.calibration.predictor import Prediction, Predictor
from simulator.calibration.setting import Setting
from simulator.planning.place import Fabric


class Own(Predictor):
    """The predictor of a fabric with measurements of its own.

    A group that fills machines is what such a log is about. Of any other group the fabric is the same and the way it
    lies on the machines is not.

    Parameters
    ----------
    place : Fabric
        With a profile.

    Attributes
    ----------
    per_node : int
        GPUs of a machine; set before it is asked.
    """

    def __init__(self, place: Fabric) -> None:
        self._place = place
        self.per_node = 1

    def predict(self, wanted: Iterable[tuple[Setting, int]]) -> list[Prediction]:
        """Return the prediction of each setting and size in bytes, in order."""
        return self._place.predictor.predict([(self._known(setting), size) for setting, size in wanted])

    def _known(self, setting: Setting) -> Setting:
        like = self._place.setting(setting.op, setting.gpus)
        if like is None or setting.gpus == 1:
            return setting
        if setting.domains == -(-setting.gpus // self.per_node):
            return like
        rate = like.outside_rate / max(like.per_domain, 1) * setting.per_domain
        return replace(
            like,
            domains=setting.domains,
            per_domain=setting.per_domain,
            inside=like.inside if setting.inside else "",
            inside_rate=like.inside_rate if setting.inside else 0.0,
            transport=like.transport or setting.transport,
            outside_rate=rate or setting.outside_rate,
        )
