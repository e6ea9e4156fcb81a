"""``commsim report`` and ``commsim rerun``: one page that asks for nothing, and the same bytes again."""

import csv
import http.server
import io
import re
import shutil
import subprocess
import threading

import pytest

CHROMIUM = next(
    (name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None
)
STEPS = ("sweep", "--model", "llama3-8b", "--fabric", "dgx-h100-ib400", "--gpus", "8..64", "--tp", "1,2", "--gbs", "64",
         "--seq-len", "2048", "--recompute", "full", "--fidelity", "formula")  # fmt: skip
COLLECTIVES = ("sweep", "all_reduce", "--size", "1KiB..1MiB", "--gpus", "8,16", "--fabric", "star-100g")
NASTY = '<script>document.title="owned"</script>'


@pytest.fixture
def steps(commsim, tmp_path):
    folder = tmp_path / "steps"
    assert commsim(*STEPS, "-o", folder).status == 0
    return folder


def test_a_page_holds_tables_pictures_inputs_and_accuracy(commsim, steps):
    done = commsim("report", steps, "--json").result
    text = (steps / "report.html").read_text()
    assert done["rows"] == [{"report": str(steps / "report.html"), "tables": ["results.csv"]}]
    for word in (
        "Where the time goes",
        "Step time over GPUs",
        "How right this is",
        "mean error on",
        "catalogue",
        "Fastest:",
    ):
        assert word in text
    assert text.count("<svg") >= 2
    rows = list(csv.DictReader((steps / "results.csv").open()))
    table = text[text.index('id="results-csv"') :]
    assert table[: table.index("</table>")].count("<tr>") == 1 + sum(
        row["status"] == "predicted" for row in rows
    )
    assert len(text) < 1_000_000


def test_the_page_names_no_address_that_a_browser_would_fetch(commsim, steps):
    commsim("report", steps)
    text = (steps / "report.html").read_text()
    assert "default-src 'none'" in text
    assert not re.findall(r"""(?:src|href|xlink:href)=["'](?!#|data:)""", text)
    assert "url(http" not in text
    assert "@import" not in text


def test_the_same_folder_gives_the_same_page(commsim, steps):
    commsim("report", steps)
    first = (steps / "report.html").read_bytes()
    commsim("report", steps)
    assert (steps / "report.html").read_bytes() == first


def test_the_link_holds_the_whole_table(commsim, steps):
    import base64

    commsim("report", steps)
    text = (steps / "report.html").read_text()
    coded = re.search(r'download="results.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', text)[1]
    assert base64.b64decode(coded) == (steps / "results.csv").read_bytes()


def test_collectives_and_other_tables_have_pages_too(commsim, tmp_path):
    assert commsim(*COLLECTIVES, "-o", tmp_path / "c").status == 0
    assert commsim("report", tmp_path / "c", "-o", tmp_path / "c.html").status == 0
    text = (tmp_path / "c.html").read_text()
    assert "Time over size" in text
    assert "bus bandwidth" in text


@pytest.mark.skipif(
    CHROMIUM is None, reason="LOUD: no Chromium here, the page was not opened in a real browser"
)
def test_a_real_browser_shows_it_and_asks_for_nothing(commsim, steps, tmp_path):
    path = steps / "results.csv"
    path.write_text(path.read_text().replace("llama3-8b", NASTY))
    assert commsim("report", steps).status == 0
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(503)

        do_CONNECT = do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             f"--proxy-server=127.0.0.1:{server.server_port}", "--proxy-bypass-list=<-loopback>",
             "--disable-background-networking", "--disable-component-update", "--no-first-run",
             "--enable-logging=stderr", "--dump-dom", (steps / "report.html").as_uri()],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        server.shutdown()
    dom = done.stdout
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    good = sum(row["status"] == "predicted" for row in rows)
    table = dom[dom.index('id="results-csv"') :]
    assert table[: table.index("</table>")].count("<tr>") == 1 + good
    assert dom.count("<svg") >= 2
    assert "owned</title>" not in dom
    assert "&lt;script&gt;" in dom
    assert "<script" not in dom
    assert "CONSOLE" not in done.stderr  # neither faults nor refused requests
    page = (steps / "report.html").name
    assert [one for one in asked if page in one or "commsim" in one] == []
    assert not any("127.0.0.1" in one or "localhost" in one for one in asked)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("results.csv", None, "has no results.csv"),
        ("manifest.toml", None, "manifest.toml: cannot be read"),
        ("manifest.toml", b"\xff\xfe", "is no TOML"),
        ("manifest.toml", b'product = "other"\ncommand = ["a", "b"]\n', "is no manifest of commsim"),
        ("results.csv", b"a,b\n1\n", "is no table, line 2"),
        ("results.csv", b"a,b\n", "has a header but no rows"),
        ("results.csv", b"", "has no header"),
        ("results.csv", b"a,a\n1,2\n", "columns of one name"),
        ("results.csv", b"\xff\xfe\x00", "cannot be read"),
    ],
)  # fmt: skip
def test_a_broken_folder_is_one_line(commsim, steps, name, content, said):
    (steps / name).unlink()
    if content is not None:
        (steps / name).write_bytes(content)
    found = commsim("report", steps)
    assert (found.status, found.stdout) == (5, "")
    assert said in found.stderr.splitlines()[0]
    assert not (steps / "report.html").exists()


def test_a_result_is_made_again_to_the_byte(commsim, steps):
    done = commsim("rerun", steps / "manifest.toml", "--json")
    assert done.status == 0, done.stderr
    assert done.result["rows"] == [{"table": "results.csv", "same": True, "difference": None}]
    assert done.result["warnings"] == []


def test_a_result_that_was_touched_is_told_from_a_new_one(commsim, steps, tmp_path):
    path = steps / "results.csv"
    path.write_text(path.read_text().replace("formula", "magic", 1))
    found = commsim("rerun", steps / "manifest.toml", "-o", tmp_path / "new")
    assert found.status == 4
    assert "results.csv differs: line 2" in found.stderr.splitlines()[0]
    assert (tmp_path / "new" / "results.csv").is_file()


def test_a_result_is_not_compared_with_itself(commsim, steps):
    path = steps / "results.csv"
    path.write_text(path.read_text().replace("formula", "magic", 1))
    found = commsim("rerun", steps / "manifest.toml", "-o", steps)
    assert (found.status, found.stdout) == (2, "")
    assert "the folder of the result itself" in found.stderr.splitlines()[0]
    assert "magic" in path.read_text()


def test_options_of_all_commands_and_a_cluster_of_then_are_no_hindrance(commsim, steps):
    manifest = steps / "manifest.toml"
    text = manifest.read_text().replace('"commsim", ', '"commsim", "-q", ')
    manifest.write_text(text.replace('"--gbs"', '"--executor", "dask:127.0.0.1:1", "--gbs"'))
    assert commsim("rerun", manifest).status == 0
    commsim("report", steps)
    assert "<title>sweep: llama3-8b" in (steps / "report.html").read_text()


def test_other_inputs_and_versions_are_said(commsim, steps):
    manifest = steps / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('python = "3', 'python = "2'))
    done = commsim("rerun", manifest, "--json")
    assert any(text.startswith("python was 2") for text in done.result["warnings"])


@pytest.mark.parametrize("words", ['["commsim", "demo"]', '["commsim", "rm", "-rf", "x"]'])
def test_only_commands_that_write_results_are_run(commsim, steps, words):
    manifest = steps / "manifest.toml"
    manifest.write_text(re.sub(r"command = .*", f"command = {words}", manifest.read_text()))
    found = commsim("rerun", manifest)
    assert found.status == 5
    assert "writes no folder of results" in found.stderr


def test_a_notebook_over_a_result_runs(commsim, steps):
    import nbformat
    from nbclient import NotebookClient

    assert commsim("notebook", steps).status == 0
    assert commsim("notebook", steps).status == 2
    assert commsim("notebook", steps, "--force").status == 0
    notebook = nbformat.read(steps / "explore.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("llama3-8b" in str(output.get("data", {})) for output in outputs)
