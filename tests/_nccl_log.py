"""Writes logs as nccl-tests prints them, from rows that a test chose."""

from simulator.collectives._bus_bandwidth import bus_factor

PROGRAM = {"all_to_all": "alltoall", "send_recv": "sendrecv"}
GATHERED = ("all_gather", "reduce_scatter", "all_to_all", "gather", "scatter")
REDUCING = ("all_reduce", "reduce_scatter", "reduce")


def put(folder, content, name="run.log"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def printed(value, width):
    """Print as nccl-tests does: fewer decimals for larger numbers."""
    digits = len(str(int(value))) if value >= 1 else 0
    return f"{value:{width}.{2 if digits < width - 2 else 1 if digits < width - 1 else 0}f}"


def half(size, us, op, gpus, wrong):
    rate = size / us / 1e3
    return f"  {printed(us, 7)}  {printed(rate, 6)}  {printed(rate * bus_factor(op, gpus), 6)}  {wrong:>6}"


def listed(hosts, each):
    return [
        f"#  Rank {rank:2d} Group  0 Pid {900 + rank} on host{rank // each} device {rank % each} [0x1b] GPU"
        for rank in range(hosts * each)
    ]


def rendered(op, hosts, each, rows, *, root=True, extra=False, halves=2, ranks=True, command=True):
    """Return the lines of one run; ``rows`` are (elements a rank or of the buffer, us, us in place)."""
    gpus = hosts * each
    names = ["time", "algbw", "busbw", "#wrong" if root else "error"] + ["i_min", "i_cv%"] * extra
    fixed = ["size", "count", "type", "redop"] + ["root"] * root
    width = "  ".join
    lines = [f"./{PROGRAM.get(op, op)}_perf -b 8 -e 1G"] * command
    lines += ["# nThread 1 nGpus 1 minBytes 8 maxBytes 1024 step: 2(factor) warmup iters: 5 iters: 20"]
    lines += ["#", *(listed(hosts, each) if ranks else []), "#"]
    lines += ["#                out-of-place        in-place" if halves == 2 else "#     out-of-place"]
    lines += [f"#  {width(f'{name:>10}' for name in fixed + names * halves)}"]
    units = ["(us)", "(GB/s)", "(GB/s)", ""] + ["(us)", "(%)"] * extra
    lines += [f"#  {width(['(B)', '(elements)', *units * halves])}"]
    for count, us, again in rows:
        size = 4 * count * (gpus if op in GATHERED else 1)
        start = [f"{size:12d}", f"{count:12d}", "float", "sum" if op in REDUCING else "none"]
        start += ["0" if op in ("broadcast", "reduce", "gather", "scatter") else "-1"] * root
        tail = "  1.00  3.10" if extra else ""
        wrong = "0" if root else "2e-07"
        repeats = "".join(half(size, value, op, gpus, wrong) + tail for value in (us, again)[:halves])
        lines.append(width(start) + repeats)
    return [*lines, "# Out of bounds values : 0 OK", "# Avg bus bandwidth    : 1.0", "#", ""]


RUN = rendered("all_reduce", 2, 4, [(2**k, 20.0 + 2**k / 1e5, 21.0 + 2**k / 1e5) for k in range(10, 29, 2)])
HEADER = next(place for place, line in enumerate(RUN) if "algbw" in line)


def edited(old="", new="", lines=RUN):
    text = "\n".join(lines)
    assert old in text
    return text.replace(old, new)
