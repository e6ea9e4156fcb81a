"""``commsim validate collectives``: the contract, what may be looked at, limits and refusals."""

import csv
import io

import pytest

from simulator.calibration.corpus import shipped_rows

COLUMNS = (
    "case_id", "series_id", "source", "op", "library", "library_version", "gpu", "gpus", "nodes",
    "gpus_per_node", "intra_link", "inter_link", "dtype", "size_bytes", "time_us", "algo_forced",
    "proto_forced", "in_place", "notes",
)  # fmt: skip


def table(rows, **changes) -> str:
    """Return rows as a CSV in the shape of the shipped measurements; changes are functions of a row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = {
            "algo_forced": row.algorithm_forced,
            "proto_forced": row.protocol_forced,
            "in_place": int(row.in_place),
            "time_us": f"{row.time_s * 1e6:.6g}",
        }
        values |= {name: getattr(row, name) for name in COLUMNS if name not in values}
        values |= {name: change(row) for name, change in changes.items()}
        writer.writerow([values[name] for name in COLUMNS])
    return out.getvalue()


@pytest.fixture
def some():
    """A few series: one node, two nodes, Slingshot, MPI."""
    names = {"aic-h100_sxm-all_reduce-8", "nccltests309-h100-ib-2n", "abci-v100-allreduce-64-mpigpu"}
    return [row for row in shipped_rows() if row.series_id in names]


def test_every_row_is_answered_and_the_summary_follows_from_the_rows(commsim, tmp_path, some):
    path = tmp_path / "rows.csv"
    path.write_text(table(some, notes=lambda row: f"{row.notes}; SPIKE: cold" if row.spike else row.notes))
    found = commsim("validate", "collectives", path, "--json").result
    assert [row["case_id"] for row in found["rows"]] == [row.case_id for row in some]
    assert set(found["rows"][0]) == {
        "case_id", "status", "reason", "measured_s", "predicted_s", "low_s", "high_s", "basis",
    }  # fmt: skip
    scored = [row for row, measured in zip(found["rows"], some, strict=True) if not measured.spike]
    errors = [abs(row["predicted_s"] / row["measured_s"] - 1) for row in scored]
    assert found["summary"]["mean_error"] == pytest.approx(sum(errors) / len(errors))
    assert found["summary"]["rows"] == len(some) == found["summary"]["predicted"]


def test_no_measured_column_moves_a_prediction(commsim, tmp_path, some):
    honest, lying, blank = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    honest.write_text(table(some))
    lying.write_text(table(some, time_us=lambda row: row.size_bytes % 977 + 1, case_id=lambda _: ""))
    blank.write_text(table(some, time_us=lambda _: ""))
    answers = [
        [
            (row["predicted_s"], row["low_s"], row["high_s"], row["basis"])
            for row in commsim("validate", "collectives", path, "--json").result["rows"]
        ]
        for path in (honest, lying, blank)
    ]
    assert answers[0] == answers[1] == answers[2]


def test_blank_times_are_predicted_and_not_scored(commsim, tmp_path, some):
    path = tmp_path / "blank.csv"
    path.write_text(table(some, time_us=lambda _: ""))
    found = commsim("validate", "collectives", path, "--json").result
    assert all(row["measured_s"] is None and row["predicted_s"] > 0 for row in found["rows"])
    assert found["summary"]["mean_error"] is None
    assert commsim("validate", "collectives", path, "--limit", "50%").status == 4


def test_a_table_without_the_measured_column_is_predicted_alike(commsim, tmp_path, some):
    lines = list(csv.reader(io.StringIO(table(some))))
    place = lines[0].index("time_us")
    path = tmp_path / "unmeasured.csv"
    path.write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in lines))
    whole = commsim("validate", "collectives", path, "--json").result["rows"]
    for line in lines:
        del line[place]
    path.write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in lines))
    found = commsim("validate", "collectives", path, "--json").result["rows"]
    assert [row["predicted_s"] for row in found] == [row["predicted_s"] for row in whole]
    assert {row["measured_s"] for row in found} == {None}
    assert commsim("calibrate", path, "-o", tmp_path / "p.toml").status == 5


def test_capitals_do_not_make_another_library(commsim, tmp_path):
    row = "all_reduce,{},H100-SXM,8,1,8,,1048576,\n"
    path = tmp_path / "names.csv"
    path.write_text(
        "op,library,gpu,gpus,nodes,gpus_per_node,inter_link,size_bytes,time_us\n"
        + "".join(row.format(name) for name in ("nccl", "NCCL", ""))
    )
    rows = commsim("validate", "collectives", path, "--json").result["rows"]
    assert len({(f"{row['predicted_s']:.9g}", row["basis"]) for row in rows}) == 1


def test_what_was_assumed_is_said(commsim, tmp_path):
    path = tmp_path / "blank.csv"
    path.write_text(
        "op,gpu,gpus,nodes,gpus_per_node,inter_link,size_bytes,time_us\n"
        "all_reduce,H100-SXM,16,2,8,InfiniBand,1048576,\n"
    )
    warnings = commsim("validate", "collectives", path, "--json").result["warnings"]
    assert "assumed for 1 rows: 8 NICs a node" in warnings


@pytest.mark.parametrize(("limit", "status"), [("90%", 0), ("0.1%", 4)])
def test_a_limit_is_kept_or_not(commsim, tmp_path, some, limit, status):
    path = tmp_path / "rows.csv"
    path.write_text(table(some))
    outcome = commsim("validate", "collectives", path, "--limit", limit)
    assert outcome.status == status
    assert ("PASS" in outcome.stdout) == (status == 0)
    assert outcome.stdout
    if status:
        assert "FAIL" in outcome.stderr


def test_a_row_that_says_too_little_is_refused_with_the_columns_name(commsim, tmp_path, some):
    path = tmp_path / "thin.csv"
    path.write_text(
        "op,gpus,nodes,gpus_per_node,gpu,size_bytes,time_us\nall_reduce,32,4,8,H800-SXM,1048576,100\n"
    )
    found = commsim("validate", "collectives", path, "--json").result
    (row,) = found["rows"]
    assert (row["status"], row["predicted_s"]) == ("refused", None)
    assert "inter_link" in row["reason"]
    assert found["summary"]["refused"] == 1


def test_other_sizes_of_a_shipped_series_are_calibrated_and_unknown_fabrics_catalogue(
    commsim, tmp_path, some
):
    path = tmp_path / "new.csv"
    row = some[0]
    changed = table([row], size_bytes=lambda _: 3 * 2**20, time_us=lambda _: "") + "".join(
        table([row], gpu=lambda _: "H800-SXM", intra_link=lambda _: "NVLink 200 GB/s", time_us=lambda _: "",
              series_id=lambda _: "new", case_id=lambda _: "new").splitlines(keepends=True)[1:]
    )  # fmt: skip
    path.write_text(changed)
    found = commsim("validate", "collectives", path, "--json").result["rows"]
    assert [row["basis"] for row in found] == ["calibrated", "catalogue"]


@pytest.mark.parametrize("name", ["several_operations.log"])
def test_a_raw_log_is_validated_on_a_named_fabric(commsim, name):
    from tests.conftest import ROOT

    log = ROOT / "tests" / "data" / "logs" / name
    found = commsim("validate", "collectives", log, "--fabric", "dgx-h100-ib400", "--json").result
    assert found["rows"]
    assert all(row["predicted_s"] > 0 for row in found["rows"] if row["status"] == "predicted")


def test_the_whole_corpus_without_refusals(commsim, shared_data):
    found = commsim("validate", "collectives", shared_data / "collectives.csv", "--json").result
    assert found["summary"]["refused"] <= 0.05 * found["summary"]["rows"]
    assert found["summary"]["mean_error"] < 0.07
    assert 0.85 <= found["summary"]["coverage"] <= 0.95


def test_bandwidths_that_contradict_the_time_are_said_and_change_nothing(commsim, tmp_path):
    """One row of the answer for each of the file, also for those of 0 bytes."""
    path = tmp_path / "odd.csv"
    head = "op,gpus,gpu,intra_link,size_bytes,time_us,busbw_GBps"
    rows = [f"all_reduce,8,H100,NVSwitch 450 GB/s,{size},20,50" for size in (0, 1024, 10**6)]
    path.write_text("\n".join([head, *rows]))
    found = commsim("validate", "collectives", path, "--json").result
    assert len(found["rows"]) == 3
    assert all(row["predicted_s"] > 0 for row in found["rows"])
    assert any("busbw_GBps 50 is not that of all_reduce" in text for text in found["warnings"])
