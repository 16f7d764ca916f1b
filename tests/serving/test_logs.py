"""Logs of requests, read and refused."""

import gzip

import pytest

from edgecache import InputError, load_catalogue
from edgecache.serving import read_log

CATALOGUE = load_catalogue()


def write(tmp_path, text, name="log.csv"):
    file = tmp_path / name
    file.write_text(text)
    return file


def test_rows_are_put_in_order_from_second_zero(tmp_path):
    file = write(tmp_path, "time_s,model,x\n30,text_to_music,1\n10,text_to_image,2\n10,text_to_speech,3\n")
    log = read_log(file, CATALOGUE)
    assert log.time_s.tolist() == [0, 0, 20] and log.model.tolist() == [0, 6, 2] and log.service_s.tolist() == [3.6, 0.25, 15.0]


def test_dates_durations_and_other_columns(tmp_path):
    text = "at,what,took\n2024-11-15 16:57:50,text_to_image,4\n2024-11-15T16:58:00,text_to_speech,0.5\n"
    file = tmp_path / "log.csv.gz"
    file.write_bytes(gzip.compress(text.encode()))
    log = read_log(file, CATALOGUE, "at", "what", "took")
    assert log.time_s.tolist() == [0, 10] and log.service_s.tolist() == [4, 0.5]


def test_models_are_mapped_by_rank(tmp_path):
    rows = ["b"] * 3 + ["a"] * 2 + [f"m{k:02}" for k in range(12)] + [""]
    file = write(tmp_path, "time_s,model\n" + "".join(f"{k},{name}\n" for k, name in enumerate(rows)))
    log = read_log(file, CATALOGUE, mapping="rank")
    assert log.model.tolist() == [0, 0, 0, 1, 1, *range(2, 10)]  # four models and the nameless are beyond the ten


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,model\n", "is empty: it has a header but no request"),
        ("time,model\n1,a\n", "unknown column 'time_s'"),
        ("time_s,model\n1,text_to_imag\n", "row 1: unknown model 'text_to_imag'; did you mean 'text_to_image'"),
        ("time_s,model\n1,text_to_image\nsoon,text_to_image\n", "row 2: time_s is 'soon'; it must be seconds, or an ISO date"),
        ("time_s,model\nnever,text_to_image\n", "row 1: time_s is 'never'"),
    ],
)
def test_wrong_logs_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_log(write(tmp_path, text), CATALOGUE)


def test_wrong_options_are_refused(tmp_path):
    file = write(tmp_path, "time_s,model,took\n1,text_to_image,-4\n")
    with pytest.raises(InputError, match="row 1: took is '-4'; it must be a number of at least 0"):
        read_log(file, CATALOGUE, duration="took")
    with pytest.raises(InputError, match="unknown mapping of models 'size'"):
        read_log(file, CATALOGUE, mapping="size")
    with pytest.raises(InputError, match="unknown distribution of service times 'normal'"):
        read_log(file, CATALOGUE, service="normal")
    with pytest.raises(InputError, match="cannot read the log"):
        read_log(tmp_path / "none.csv", CATALOGUE)
