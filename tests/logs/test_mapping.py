"""Which model of the catalogue each model of a log is."""

import numpy as np
import pytest
from support.cases import equal_catalogue
from support.logs import write

from edgecache import InputError, Trace, load_catalogue
from edgecache.logs.mapping import map_models
from edgecache.logs.reading import log_of_table

# c: 3 requests, a: 2, b: 2, d: 1
LOG = log_of_table({"time": range(8), "model": list("cabcabcd")})
TWO, FOUR = equal_catalogue(2), equal_catalogue(4)


def index(*arguments, **options):
    return dict(zip(LOG.models, map_models(LOG, *arguments, **options)[0].tolist(), strict=True))


def test_by_rank_the_first_takes_the_first_place_and_ties_the_order_of_the_log():
    assert index(FOUR, "rank") == {"c": 0, "a": 1, "b": 2, "d": 3}
    assert index(TWO, "rank") == {"c": 0, "a": 1, "b": -1, "d": -1}
    assert index() == {"c": 0, "a": 1, "b": 2, "d": 3}


def test_models_beyond_the_catalogue_are_dropped_and_popularity_is_that_of_the_rest():
    trace = Trace.from_log(LOG, TWO, map="rank")
    assert trace.model.tolist() == [0, 1, 0, 1, 0] and trace.popularity.tolist() == [0.6, 0.4]
    assert trace.time_s.tolist() == [0, 1, 3, 4, 6]


def test_shuffled_is_a_permutation_by_the_seed():
    drawn = {tuple(index(FOUR, "shuffled", rng=np.random.default_rng(seed)).values()) for seed in range(60)}
    assert len(drawn) > 15 and all(sorted(places) == [0, 1, 2, 3] for places in drawn)
    assert index(FOUR, "shuffled", rng=np.random.default_rng(3)) == index(FOUR, "shuffled", rng=np.random.default_rng(3))


def test_by_name_is_the_default_where_all_names_are_there():
    named = log_of_table({"time": [0, 1, 2], "model": ["m3", "m0", "m0"]})
    assert map_models(named, FOUR)[0].tolist() == [3, 0] and map_models(named, FOUR)[1] == "by name"
    assert map_models(named, TWO)[1].startswith("by rank")
    with pytest.raises(InputError, match=r"table, row 1: unknown model 'm3'; .*missing='drop' \(--missing drop\)"):
        map_models(named, TWO, "name")
    assert map_models(named, TWO, "name", missing="drop")[0].tolist() == [-1, 0]


def test_by_a_table(tmp_path):
    path = write(tmp_path, "map.csv", "model,service,note\na,m1,x\nb,m1,x\nc,m0,x\n")
    with pytest.raises(InputError, match=r"table, row 8: 'd' \(1 of 8 requests\) has no service in the table"):
        map_models(LOG, FOUR, path)
    assert index(FOUR, path, missing="drop") == {"c": 0, "a": 1, "b": 1, "d": -1}
    assert index(FOUR, {"a": "m1", "b": "m1", "c": "m0"}, missing="drop") == index(FOUR, str(path), missing="drop")


BAD = {
    "model,services\na,m1\n": "map.csv, header: the columns are model, services; needed are model and service",
    "model,service\na\n": "map.csv, line 2: 1 cells, but the header has 2",
    "model,service\na,m1\na,m0\n": "map.csv, line 3: the model 'a' is there twice, with another service",
    "": "map.csv, header: the columns are none; needed are model and service",
}


@pytest.mark.parametrize("content", BAD)
def test_a_bad_table_is_one_sentence(content, tmp_path):
    with pytest.raises(InputError) as error:
        map_models(LOG, FOUR, write(tmp_path, "map.csv", content), missing="drop")
    assert BAD[content] in str(error.value) and "\n" not in str(error.value)


def test_words_that_are_none():
    with pytest.raises(InputError, match="map is 'ranks'; it must be rank, shuffled, name, or a CSV file"):
        map_models(LOG, FOUR, "ranks")
    with pytest.raises(InputError, match="unknown rule for models that the catalogue lacks 'skip'; known: error, drop"):
        map_models(LOG, FOUR, "rank", missing="skip")
    with pytest.raises(InputError, match="without a catalogue there is nothing to map to"):
        map_models(LOG, None, "name")
    with pytest.raises(InputError, match="the catalogue has none of the log's models, such as 'c'"):
        map_models(LOG, load_catalogue(), "name", missing="drop")
