"""ZeRO stage 3: the exchange of ``fsdp`` under DeepSpeed's name.

Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.3.
"""

from workloads.strategies.fsdp import STATES, layer, step

__all__ = ["STATES", "layer", "step"]
