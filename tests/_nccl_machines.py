"""Machines that several tests ask NCCL about."""

from simulator.collectives._nccl_machine import Machine

KIB, MIB, GIB = 2**10, 2**20, 2**30
SIZES = (KIB, 64 * KIB, MIB, 64 * MIB, GIB)
GB = 1e9


def machine(nodes, gpu, cards=0, card=0.0, gpus=8, **more):
    capability, link = {"v100": (70, 150), "a100": (80, 300), "h100": (90, 450), "b200": (100, 900)}[gpu]
    return Machine(
        nodes=nodes, gpus_per_node=gpus, compute_capability=capability, intra_bandwidth=link * GB,
        nics_per_node=cards, nic_bandwidth=card * GB, **more,
    )  # fmt: skip


def h100(nodes, cards=8, **more):
    return machine(nodes, "h100", cards, 50, **more)


NVL72 = machine(1, "b200", gpus=72, host_cpu="arm")
H800 = Machine(
    nodes=4, gpus_per_node=8, compute_capability=90, intra_bandwidth=200 * GB,
    nics_per_node=8, nic_bandwidth=50 * GB,
)  # fmt: skip
FLAT = machine(16, "h100", 1, 50, gpus=1)  # one GPU a node
BOX = machine(1, "a100", intra="pcie")
SHARP = h100(4, collnet=True)
MACHINES = (h100(1), h100(2), h100(16), FLAT, BOX, SHARP, NVL72, machine(4, "b200", 8, 50))
