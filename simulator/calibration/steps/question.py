"""A measured configuration as the step of training that it was."""

from math import inf

from simulator.calibration.steps.case import Case
from workloads.strategies._parts import Wire
from workloads.training import Software, Training

_SLICED = 2022.5  # before, the pipeline of DeepSpeed sent whole activations from every tensor rank
PACKED = 0.15  # of the score matrix that short samples packed into a sequence leave; the fit scales it


def training_of(case: Case) -> Training:
    """Return what a case asks the simulator."""
    stack = case.stack
    return Training(
        model=case.model,
        layout=case.layout,
        microbatch=case.micro_batch,
        global_batch=case.global_batch,
        seq_len=case.seq_len,
        chunk_layers=case.chunk_layers,
        schedule=case.schedule,
        strategy=case.strategy,
        precision="fp8row" if case.scaling == "row" else case.precision,
        recompute=case.recompute,
        recompute_modules=case.recompute_modules,
        recompute_layers=case.recompute_layers,
        sequence_parallel=case.sequence_parallel,
        packing=PACKED if case.packed else 1.0,
        frozen=case.task == "lora",
        gpus_per_node=case.system.gpus_per_node,
        mtp=case.model.mtp_layers > 0,
        software=software_of(case),
        wire=Wire(
            grad_bytes=stack.grad_bytes,
            param_bytes=stack.param_bytes,
            grad_overlap=stack.grad_overlap and stack.bucket != inf,
            param_overlap=stack.param_overlap,
            gathered=case.layout.pp > 1,
        ),
    )


def software_of(case: Case) -> Software:
    """Return what the stack of a case does."""
    stack = case.stack
    return Software(
        attention=f"{stack.attention}.fp8" if stack.fp8_attention else stack.attention,
        fusion=f"{stack.fusion}.{case.model.norm}.{_kernels(case)}",
        tp_overlap=stack.tp_overlap != "none",
        cp_overlap=True,
        ep_overlap=stack.ep_overlap,
        p2p_overlap=stack.p2p_overlap,
        deduplicated=stack.dispatcher in ("deepep", "hybridep"),
        dispatch_width=2.0,
        graphs=stack.cuda_graph == "full",
        sliced_sends=stack.family != "megatron-deepspeed" or stack.released > _SLICED,
        wide_layers=stack.wide_layers,
        host=host_of(case),
    )


def _kernels(case: Case) -> str:
    """Return whose elementwise kernels run."""
    early = case.stack.family == "megatron-deepspeed" and case.stack.released < _SLICED
    return f"{case.stack.family}-early" if early else case.stack.family


def host_of(case: Case) -> str:
    """Return which host law launches the kernels of a stack."""
    stack = case.stack
    modern = {"nemo", "megatron-bridge", "megatron-lm", "llama3"}
    name = "megatron" if stack.family in modern else stack.family
    if stack.cuda_graph:
        return "megatron-graphs"
    return name
