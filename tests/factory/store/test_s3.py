"""What only a network can do wrong: a real server behind a proxy that injects faults."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from contextlib import contextmanager

import pytest

from factory.errors import ConfigError, Conflict, StoreError, Unavailable
from factory.store import open_store, s3
from tests import s3_server
from tests.ports import free_ports

pytestmark = pytest.mark.s3


@pytest.fixture
def quick(monkeypatch):
    """No pauses between tries."""
    monkeypatch.setattr(s3, "_pause", lambda failures: None)


@pytest.fixture
def faulty(s3_config, s3_endpoint, quick):
    """Context manager of (list of faults for requests that match, in order) -> (store, faults)."""

    @contextmanager
    def make(method, planned, **fields):
        left = list(planned)

        def plan(command, path):
            return left.pop(0) if left and command == method and "list-type" not in path else None

        if "slow" in planned:
            fields["timeout_s"] = 0.4  # so that a slow answer is one that never came
        faults = s3_server.Faults(plan)
        with s3_server.proxy(s3_endpoint, faults) as address:
            yield open_store(s3_config(endpoint_url=address, **fields)), faults

    return make


@pytest.mark.parametrize("fault", ["503", "409", "reset", "slow"])
@pytest.mark.parametrize("fields", [{}, {"multipart_min_bytes": 1}], ids=["whole", "parts"])
def test_a_put_survives_faults_and_creates_once(faulty, fault, fields):
    with faulty("PUT", [fault, fault], **fields) as (store, faults):
        store.put_once("x", b"data" * 1000)
        assert faults.done == [fault, fault]
        assert store.num_retries >= 2
        assert store.get("x") == b"data" * 1000
        with pytest.raises(Conflict):
            store.put_once("x", b"other")
        assert store.leftovers() == []


@pytest.mark.parametrize("fault", ["503", "409", "reset", "slow"])
def test_completing_an_upload_survives_faults(faulty, fault):
    with faulty("POST", [None, fault], multipart_min_bytes=1) as (store, faults):
        store.put_once("x", b"data")
        assert faults.done == [fault]
        assert store.get("x") == b"data"
        assert store.leftovers() == []


def test_a_put_whose_answer_was_lost_is_known_by_its_digest(faulty):
    with faulty("PUT", ["reset"]) as (store, _):
        assert store.put_once("x", b"mine") is False  # carried out, and met again
        assert store.get("x") == b"mine"
    with faulty("PUT", ["reset"]) as (store, _):
        assert store.swap("x", b"mine", b"new") is True
        assert store.get("x") == b"new"


@pytest.mark.parametrize("fault", ["truncate", "503", "reset"])
def test_a_read_that_breaks_off_goes_on_where_it_was(faulty, fault):
    data = bytes(range(256)) * 20_000
    with faulty("GET", [None, fault, fault]) as (store, faults):
        store.put_once("big", data)
        assert store.get("big") == data
        assert store.num_retries == 0
        assert store.get("big") == data
        assert faults.done == [fault, fault]
        assert store.num_retries == 2


def test_a_server_that_stays_down_is_given_up_with_one_line(faulty):
    with faulty("PUT", ["409"] * 5, max_attempts=3) as (store, _):
        with pytest.raises(StoreError, match="still 409 after 3 tries"):
            store.put_once("x", b"1")


def test_a_store_that_ignores_conditions_is_refused(faulty):
    with faulty("PUT", ["unconditional"] * 50) as (store, faults):
        with pytest.raises(StoreError, match="ignores If-None-Match or If-Match"):
            store.probe()
        assert "unconditional" in faults.done
        assert store.list("") == []


def test_an_error_in_the_middle_leaves_nothing_under_the_final_name(s3_config, monkeypatch):
    store = open_store(s3_config(multipart_min_bytes=1, part_bytes=5 << 20))
    real, parts = store._patient.upload_part, []

    def breaks(**arguments):
        parts.append(arguments["PartNumber"])
        if len(parts) == 2:
            raise RuntimeError("killed in the middle")
        return real(**arguments)

    monkeypatch.setattr(store._patient, "upload_part", breaks)
    with pytest.raises(RuntimeError, match="in the middle"):
        store.put_once("x", b"\0" * (12 << 20))
    assert store.list("") == []
    assert store.leftovers() == []


def test_several_parts_make_one_object(s3_config):
    store = open_store(s3_config(multipart_min_bytes=1, part_bytes=5 << 20))
    data = bytes(range(256)) * (12 << 12)
    assert store.put_once("x", data)
    assert store.get("x") == data


def test_dangling_uploads_are_found_and_aborted(s3_config, s3_endpoint):
    store = open_store(s3_config())
    at = store._at("left/over")
    s3_server.client(s3_endpoint).create_multipart_upload(**at)
    (left,) = store.leftovers()
    assert left.name == "left/over"
    assert abs(left.modified_at - time.time()) < 60
    store.discard(left)
    assert store.leftovers() == []


def preflight_error(config) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(config).preflight(0, 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_preflight_is_patient_with_a_server_that_is_only_busy(faulty):
    with faulty("GET", []) as (store, faults):
        faults.plan = lambda method, path: "503" if len(faults.done) < 4 else None
        store.preflight(0, 0)
        assert len(faults.done) == 4 > s3.PREFLIGHT_ATTEMPTS
    with faulty("GET", [], max_attempts=2) as (store, faults):
        faults.plan = lambda method, path: "503"
        with pytest.raises(Unavailable, match="SlowDown"):
            store.preflight(0, 0)


@pytest.mark.parametrize(("fault", "code"), [("403", "AccessDenied"), ("reset", "closed")])
def test_a_preflight_tries_few_times(faulty, fault, code):
    with faulty("GET", []) as (store, faults):
        faults.plan = lambda method, path: fault
        with pytest.raises(StoreError, match=code) as caught:
            store.preflight(0, 0)
        assert len(faults.done) == (1 if fault == "403" else s3.PREFLIGHT_ATTEMPTS)
        assert isinstance(caught.value, Unavailable) == (fault == "reset")


def test_a_release_begins_where_nothing_may_be_deleted(faulty, s3_config):
    heard = []
    with faulty("GET", []) as (store, faults):
        faults.plan = lambda method, path: "403" if method == "DELETE" else None
        for _ in range(3):
            store.probe(heard.append)
        assert len(heard) == 3  # once each time
        assert heard[0].endswith("may not delete, so three small probe-* objects stay")
        assert store.list("") == ["probe-parts", "probe-put", "probe-swap"]
    with faulty("PUT", []) as (store, faults):
        faults.plan = lambda method, path: {"DELETE": "403", "PUT": "unconditional"}.get(method)
        with pytest.raises(StoreError, match="ignores If-None-Match or If-Match"):
            store.probe(heard.append)
    with faulty("GET", []) as (store, faults):
        faults.plan = lambda method, path: "503" if method == "DELETE" else None
        with pytest.raises(Unavailable):  # no answer to whether they may
            open_store(s3_config(endpoint_url=store._config.endpoint_url, max_attempts=2)).probe()


def test_a_bucket_that_keeps_what_is_there_is_told_or_refused_before_work(faulty):
    """A retention policy: what is there is not deleted (survived), or not replaced (refused)."""
    heard, puts = [], []
    with faulty("GET", []) as (store, faults):
        faults.plan = lambda method, path: (
            "403" if method == "DELETE" and path.partition("?")[0] in puts else note(method, path)
        )

        def note(method, path):
            if method == "PUT":
                puts.append(path.partition("?")[0])

        store.probe(heard.append)
        assert len(heard) == 1  # said once, after which nothing is tried to be deleted
        assert "this bucket keeps what was written: probe-" in heard[0]
    with faulty("GET", []) as (store, faults):
        writes, before = [], store.list("")

        def plan(method, path):
            if method == "PUT" and "uploadId" not in path:
                writes.append(path.partition("?")[0])
            return "403" if method == "PUT" and writes.count(writes[-1]) == 3 else None

        faults.plan = plan
        with pytest.raises(StoreError) as caught:
            store.probe(heard.append)
        assert "cannot be replaced, as under a retention policy" in str(caught.value)
        assert str(caught.value).endswith("want a bucket without one")
        assert "\n" not in str(caught.value)
        assert store.list("") == before


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"encryption": "s3"}, {"ServerSideEncryption": "AES256"}),
        ({"storage_class": "STANDARD_IA"}, {"StorageClass": "STANDARD_IA"}),
        ({"requester_pays": True}, {}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("size", [10, 12 << 20], ids=["whole", "parts"])
def test_a_real_server_takes_the_settings(s3_config, s3_endpoint, fields, shown, size):
    store = open_store(s3_config(multipart_min_bytes=1 << 20, part_bytes=5 << 20, **fields))
    data = bytes(range(250)) * (size // 250 + 1)
    store.probe()
    assert store.put_once("x", data)
    assert not store.put_once("x", data)
    with pytest.raises(Conflict):
        store.put_once("x", data + b"1")
    head = s3_server.client(s3_endpoint).head_object(**store._at("x"))
    assert {name: head.get(name) for name in shown} == shown
    assert store.get("x") == data
    assert store.swap("x", data, b"new")
    assert store.get("x") == b"new"
    store.delete("x")
    assert store.list("") == []


def test_a_slash_at_the_end_is_the_same_place(s3_config):
    config = s3_config()
    open_store(config).put("a", b"1")
    again = open_store(s3_config(url=config.url + "/"))
    assert again.list("") == ["a"]
    assert again.url == config.url


def test_wrong_places_and_credentials_are_named(s3_config, monkeypatch):
    port = free_ports(1)[0]
    assert "check store.endpoint_url" in preflight_error(
        s3_config(endpoint_url=f"http://127.0.0.1:{port}")
    )
    assert "NoSuchBucket" in preflight_error(s3_config(url="s3://absent/x"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    message = preflight_error(s3_config())
    assert "SignatureDoesNotMatch" in message
    assert "wrong-secret" not in message
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "set AWS_ACCESS_KEY_ID" in preflight_error(s3_config())
    with pytest.raises(ConfigError, match=r"store\.endpoint_url: got 'no-scheme'; want http"):
        open_store(s3_config(endpoint_url="no-scheme"))


def read_all(store, names, results):
    results.put([store.get(name) for name in names])


def test_forks_do_not_share_a_connection(s3_config):
    store = open_store(s3_config())
    names = [f"x{i}" for i in range(20)]
    for name in names:
        store.put(name, name.encode() * 5000)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    readers = [context.Process(target=read_all, args=(store, names, results)) for _ in range(4)]
    for reader in readers:
        reader.start()
    answers = [results.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    assert answers == [[name.encode() * 5000 for name in names]] * 4
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get("x3") == b"x3" * 5000


def test_a_swap_of_what_vanished_meanwhile_is_lost(s3_config, monkeypatch):
    store = open_store(s3_config())
    store.put("latest", b"1")
    real = store._write

    def vanishes(name, *arguments, **condition):
        store.delete(name)
        return real(name, *arguments, **condition)

    monkeypatch.setattr(store, "_write", vanishes)
    assert store.swap("latest", b"1", b"2") is False
