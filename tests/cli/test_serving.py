"""`edgecache serve-sim` and `edgecache plan`, as typed."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from support.logs import GENTD26, MOONCAKE, write

from edgecache import load_catalogue, read_trace
from edgecache.cli.main import main
from edgecache.serving import SERVER_RULES, Arrivals, ServedModels, Server, serve
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


def requests_of(log, **options):
    return Arrivals.of_trace(read_trace(log, load_catalogue(), **options), load_catalogue())


def test_serve_sim_prints_what_serve_returns(run, log):
    code, out, err = run("serve-sim", log, "--gpu-memory", "12", "--rules", "lru,ollama", "--parallel", "2", "--format", "json")
    rows = {row["rule"]: row for row in json.loads(out)}
    assert code == 0 and list(rows) == ["lru", "ollama", "bound"]
    assert f"{log}: columns" in err and "rows 2,000, requests 2,000; dropped: none" in err
    assert err.endswith("models to the catalogue: by name\n  service times: 0 as logged, 2,000 by the catalogue (fixed)\n")
    arrivals, models = requests_of(log), ServedModels(load_catalogue(), parallel=2, on_disk=True)
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
    arrivals, models = requests_of(log), ServedModels(load_catalogue(), on_disk=True)
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
    assert code == 0 and "requests 2,000" in err and out.startswith("Target: p80 of the wait at most 30 s, met on both halves")
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
    said = err.splitlines()[-1]
    assert (code, out) == (2, "") and "Traceback" not in err
    assert said.startswith("edgecache: nothing that was tried meets the target p95 of the delay at most 5 s") and "service" in said


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
        (["--map", "size"], "map is 'size'; it must be rank, shuffled, name, or a CSV file"),
        (["--time", "when"], "unknown column 'when'"),
        (["--duration", "took"], "unknown column 'took'"),
        (["--service", "normal"], "unknown distribution of service times 'normal'"),
    ],
)
def test_wrong_input_is_one_sentence(run, log, arguments, message):
    code, out, err = run("serve-sim", log, *arguments)
    said = err.splitlines()[-1]
    assert (code, out) == (2, "") and said.startswith("edgecache: ") and message in said and "Traceback" not in err


def test_a_known_format_needs_no_options_and_failed_rows_are_counted(run, tmp_path):
    path = write(tmp_path, "g.csv", GENTD26)
    code, out, err = run("serve-sim", path, "--rules", "lru", "--format", "json")
    assert code == 0 and "gentd26" in err and "dropped: 1 whose predict_status is not SUCCEED" in err
    assert "service times: 3 as logged, 0 by the catalogue (fixed)" in err
    played = serve(Server(), ServedModels(load_catalogue(), on_disk=True), requests_of(path))
    assert json.loads(out)[0]["mean_wait_s"] == pytest.approx(played.wait_s.mean())


def test_own_columns_are_named_as_for_simulate(run, tmp_path):
    path = write(tmp_path, "own.csv", "at,what,ok,took\n0,m,yes,4\n0,m,no,9\n60,n,yes,\n90,m,yes,2\n95,n,yes,-1\n")
    table = write(tmp_path, "map.csv", "model,service\nm,text_to_image\nn,text_to_music\n")
    arguments = ("--time", "at", "--model", "what", "--where", "ok=yes", "--duration", "took", "--map", table)
    code, out, err = run("serve-sim", path, *arguments, "--rules", "lru", "--format", "json")
    assert code == 0 and "dropped: 1 whose ok is not yes" in err
    assert "service times: 2 as logged, 2 by the catalogue (fixed)" in err
    options = {"time": "at", "model": "what", "where": {"ok": "yes"}, "duration": "took", "map": table}
    arrivals = requests_of(path, **options)
    assert arrivals.service_s.tolist() == [4.0, 15.0, 2.0, 15.0] and arrivals.model.tolist() == [0, 2, 0, 2]
    played = serve(Server(), ServedModels(load_catalogue(), on_disk=True), arrivals)
    assert json.loads(out)[0]["mean_wait_s"] == pytest.approx(played.wait_s.mean())


def test_a_log_that_names_no_model_needs_a_draw(run, tmp_path):
    path = write(tmp_path, "m.jsonl", MOONCAKE)
    code, out, err = run("serve-sim", path, "--rules", "lru")
    assert (code, out) == (2, "") and "draw the models by Zipf" in err.splitlines()[-1]
    code, out, err = run("serve-sim", path, "--rules", "lru", "--models", "zipf", "--seed", "3", "--service", "exponential")
    assert code == 0 and out.count("\n") == 3 and "by the catalogue (exponential)" in err


def test_a_catalogue_of_models_that_no_default_server_holds_is_served(run, tmp_path, log):
    file = tmp_path / "large.csv"
    text = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s\n"
    file.write_text(text + "text_to_image,400,80,2,3,1\n")
    code, _, err = run("serve-sim", log, "--catalogue", file, "--missing", "drop", "--map", "name", "--rules", "lru")
    assert code == 0 and "models beyond the catalogue's are dropped" in err


def test_out_needs_an_export(run, log, tmp_path):
    code, _, err = run("plan", log, "--out", tmp_path / "x")
    assert code == 2 and "--export" in err and not (tmp_path / "x").exists()
