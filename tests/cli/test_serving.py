"""`edgecache serve-sim` and `edgecache plan`, as typed."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from edgecache import load_catalogue
from edgecache.cli.main import main
from edgecache.serving import SERVER_RULES, ServedModels, Server, read_log, serve
from edgecache.serving.cards import EXAMPLE
from edgecache.serving.wait_bounds import least_mean_wait


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgecache", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Twenty days of a hundred requests."""
    rng = np.random.default_rng(0)
    services = np.array(load_catalogue().services)
    table = pd.DataFrame(
        {"time_s": np.sort(rng.uniform(0, 20 * 86400, 2000)).round(1), "model": services[rng.integers(0, 10, 2000)]}
    )
    path = tmp_path_factory.mktemp("log") / "log.csv"
    table.to_csv(path, index=False)
    return path


def test_serve_sim_prints_what_serve_returns(run, log):
    code, out, err = run("serve-sim", log, "--gpu-memory", "12", "--rules", "lru,ollama", "--parallel", "2", "--format", "json")
    rows = {row["rule"]: row for row in json.loads(out)}
    assert (code, err) == (0, "") and list(rows) == ["lru", "ollama", "bound"]
    arrivals, models = read_log(log, load_catalogue()), ServedModels(load_catalogue(), parallel=2, on_disk=True)
    played = serve(Server(gpu_memory_gb=12), models, arrivals)
    assert rows["lru"]["mean_wait_s"] == pytest.approx(played.wait_s.mean())
    assert rows["lru"]["low"] < rows["lru"]["mean_wait_s"] < rows["lru"]["high"] and rows["lru"]["fetched_gb"] == 0
    assert rows["lru"]["within_slo"] == pytest.approx((played.wait_s <= 10).mean())
    parts = [rows["lru"][f"{part}_s"] for part in ("queue", "fetch", "load")]
    assert sum(parts) == pytest.approx(rows["lru"]["mean_wait_s"])
    bound = least_mean_wait(Server(gpu_memory_gb=12), models, arrivals)
    assert rows["bound"]["mean_wait_s"] == pytest.approx(bound) and bound < rows["lru"]["mean_wait_s"]
    kept = serve(Server(gpu_memory_gb=12, most_loaded=3, in_turn=True), models.vary(ttl_s=300.0), arrivals, "ollama")
    assert rows["ollama"]["mean_wait_s"] == pytest.approx(kept.wait_s.mean())  # with Ollama's own limits


def test_serve_sim_takes_limits_pins_and_other_settings(run, log):
    code, out, _ = run(
        "serve-sim", log, "--gpu-memory", "12", "--link", "1", "--disk", "100", "--ttl", "60", "--pin", "text_to_image",
        "--rules", "lru", "--set", "cloud_cold=True", "--set", "cloud_delay_s=0.5", "--slo", "p90=1s", "--of", "delay",
        "--format", "csv",
    )  # fmt: skip
    table = pd.read_csv(io.StringIO(out)).set_index("rule")
    assert code == 0 and table.loc["lru", "cloud_share"] > 0.5 and table.loc["lru", "fetched_gb"] > 100
    assert "p95_delay_s" in table.columns and table.loc["lru", "mean_wait_s"] < 0.5


def test_serve_sim_chooses_time_outs_on_the_first_half_of_the_log(run, log):
    code, out, _ = run("serve-sim", log, "--ttl", "rent-or-buy", "--hold", "0.01", "--rules", "lru,exact", "--format", "json")
    arrivals, models = read_log(log, load_catalogue()), ServedModels(load_catalogue(), on_disk=True)
    seconds = models.catalogue.io_delay_s / (0.01 * models.catalogue.gpu_memory_gb)
    played = serve(Server(), models.vary(ttl_s=seconds), arrivals)
    rows = json.loads(out)
    assert code == 0 and rows[0]["mean_wait_s"] == pytest.approx(played.wait_s.mean()) and rows[0]["gpu_hours"] < 20 * 24
    assert rows[1]["rule"] == "exact" and rows[1]["mean_wait_s"] >= rows[2]["mean_wait_s"]


def test_the_help_names_every_rule_of_a_server(run):
    code, out, _ = run("serve-sim", "--help")
    words = set(out.replace(",", " ").replace(". ", " ").replace(".\n", " ").split())
    assert code == 0 and set(SERVER_RULES) <= words


def test_plan_prints_the_least_server_and_writes_a_configuration(run, log, tmp_path):
    file = tmp_path / "config.yaml"
    arguments = ["plan", log, "--slo", "p80=30s", "--cards", EXAMPLE, "--ttl", "86400"]
    code, out, err = run(*arguments, "--export", "llama-swap", "--out", file)
    assert (code, err) == (0, "") and out.startswith("Target: p80 of the wait at most 30 s, met on both halves")
    config = yaml.safe_load(file.read_text())
    assert len(config["models"]) == 10 and config["models"]["text_to_image"]["ttl"] == 86400
    code, out, _ = run(*arguments, "--format", "json")
    plan = json.loads(out)
    assert code == 0 and plan["needs"]["gpu_memory_gb"] in {8, 16, 24, 32, 48} and plan["card"]
    assert [half["met"] for half in plan["halves"]] == [True, True] and len(plan["cards"]) == 6
    code, out, _ = run(*arguments, "--export", "ollama", "--format", "csv")
    assert code == 0 and '"keep_alive": "86400s"' in out and out.startswith("resource,unit,have,next,mean_s_per_unit")


def test_a_target_that_nothing_meets_is_one_sentence(run, log):
    code, out, err = run("plan", log, "--slo", "p95=5s", "--of", "delay")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("edgecache: nothing that was tried meets the target p95 of the delay at most 5 s") and "service" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slo", "95"], "the target is '95'; it must be like p95=10s"),
        (["--pin", "chat"], "unknown model of --pin 'chat'"),
        (["--set", "gpu=3"], "unknown limit of the server 'gpu'"),
        (["--set", "disk_gb=3"], "for disk_gb there is the option --disk"),
        (["--gpu-memory", "0"], "gpu_memory_gb is 0.0; it must be a number above 0"),
        (["--gpu-memory", "2.5", "--pin", "text_to_music"], "the pinned models take 2.4 GB"),
        (["--rules", "lruu"], "unknown rule 'lruu'; did you mean 'lru'"),
        (["--ttl", "long"], "--ttl is 'long'; it must be seconds, hazard or rent-or-buy"),
        (["--ttl", "hazard", "--hold", "-1"], "--hold is -1.0"),
        (["--map", "size"], "unknown mapping of models 'size'"),
    ],
)
def test_wrong_input_is_one_sentence(run, log, arguments, message):
    code, out, err = run("serve-sim", log, *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_out_needs_an_export(run, log, tmp_path):
    code, _, err = run("plan", log, "--out", tmp_path / "x")
    assert code == 2 and "--export" in err and not (tmp_path / "x").exists()
