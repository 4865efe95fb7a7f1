"""The nemesis' judges, judged: each of them finds what it is there for, and nothing in a story that is in order."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from faults import ALONE, KINDS, draw_labs  # noqa: E402
from hands import Hands  # noqa: E402
from judge import Epochs, Kept, Promises, assign, forbidden, read_store  # noqa: E402
from store import decode, encode, perform  # noqa: E402

STORE = "/srv/web/store"


def runs(*nodes):
    return [{"node": node, "frames": 10} for node in nodes]


def test_each_change_of_speaker_needs_an_epoch():
    epochs = [(2, "serv1"), (3, "serv2"), (4, "serv1")]
    assert assign(runs("serv1", "serv2", "serv1"), epochs) == ({2: 10, 3: 10, 4: 10}, None)
    assert assign(runs("serv1"), epochs) == ({2: 10}, None)
    assert assign(runs("serv1", "serv1"), epochs)[1] is None, "silence between two runs is no change"
    assert assign(runs("serv2"), epochs)[1] is None, "an epoch in which nothing was heard"
    frames, stray = assign(runs("serv1", "serv2", "serv1", "serv2"), epochs)
    assert stray["node"] == "serv2" and frames == {2: 10, 3: 10, 4: 10}
    assert assign(runs("serv2", "serv1"), [(3, "serv2")])[1]["node"] == "serv1"


def test_any_mention_of_an_epoch_says_whose_it_was(tmp_path):
    log = tmp_path / "log"
    log.write_text("<5>decides: serv1 takes over web at epoch 2, because …\n"
                   "<5>web: serv2 serves at the higher epoch 3\n")
    epochs = Epochs()
    assert "takes over" in epochs.read("serv1", log)
    with log.open("a") as file:
        file.write("<5>web: active at epoch 6\n")
    assert epochs.read("serv1", log) == "<5>web: active at epoch 6\n"
    assert [(epoch, epochs.node(epoch)) for epoch in epochs.after(2)] == [(3, "serv2"), (6, "serv1")]


def test_a_torn_file_is_told_from_a_whole_one(tmp_path):
    data = encode("k1", [3, 5], 1000)
    assert decode(data) == ("k1", [3, 5])
    for broken in (data[:-1], data[:500] + b"?" + data[501:], b"", b"x" * 70, data[100:]):
        assert decode(broken) is None
    (tmp_path / "k1").write_bytes(data)
    (tmp_path / "k2").write_bytes(data)  # another one's content
    (tmp_path / "k3").write_bytes(data[:-9])
    (tmp_path / ".k4.Xy1").write_bytes(b"")
    found, torn = read_store(str(tmp_path))
    assert found == {"k1": [3, 5]} and sorted(os.path.basename(path) for path in torn) == ["k2", "k3"]


def line(op, name, version=None, ok=True, node="serv1", history=None):
    return json.dumps({"op": op, "name": name, "version": version, "ok": ok, "node": node, "history": history}) + "\n"


def promises(tmp_path, *lines):
    path = tmp_path / "journal"
    path.write_text("".join(lines))
    read = Promises()
    read.read(path)
    return read


def kept(tmp_path, files, lost):
    """A node's backup sets: one, with these files and this loss report."""
    folder = tmp_path / "backups" / "set"
    os.makedirs(str(folder) + "/files" + STORE)
    for name, history in files.items():
        with open(f"{folder}/files{STORE}/{name}", "wb") as file:
            file.write(encode(name, history, 10))
    report = {"lost": [{"path": f"{STORE}/{name}", "change": change} for name, change in lost.items()]}
    (folder / "report.json").write_text(json.dumps(report))
    return [Kept(str(tmp_path / "backups"), STORE)]


def test_what_was_acknowledged_must_be_somewhere(tmp_path):
    story = promises(tmp_path, line("put", "k1", 1, history=[1]), line("put", "k1", 2, history=[1, 2]),
                     line("put", "k1", 3, ok=None), line("put", "k2", 4, history=[4]))
    nothing = kept(tmp_path, {}, {})
    assert story.judge({"k1": [1, 2], "k2": [4]}, nothing, True) == ([], 0)
    assert story.judge({"k1": [1, 2, 3], "k2": [4]}, nothing, True) == ([], 0), "unanswered is not undone"
    findings, lost = story.judge({"k1": [1], "k2": [4]}, nothing, True)
    assert lost == 1 and "[2] of k1 are nowhere" in findings[0]
    assert "k2" in story.judge({"k1": [1, 2]}, nothing, True)[0][0]


def test_a_lost_change_is_kept_and_named(tmp_path):
    story = promises(tmp_path, line("put", "k1", 1, history=[1]), line("put", "k1", 2, history=[1, 2]))
    (tmp_path / "named").mkdir()
    assert story.judge({"k1": [1]}, kept(tmp_path / "named", {"k1": [1, 2]}, {"k1": "changed"}), True) == ([], 1)
    (tmp_path / "unnamed").mkdir()
    unnamed = kept(tmp_path / "unnamed", {"k1": [1, 2]}, {})
    assert "no report names k1" in story.judge({"k1": [1]}, unnamed, True)[0][0]
    assert story.judge({"k1": [1]}, unnamed, False)[0] == []


def test_deletions(tmp_path):
    story = promises(tmp_path, line("put", "k1", 1, history=[1]), line("delete", "k1", history=[1]),
                     line("put", "k2", 2, history=[2]), line("delete", "k2", ok=None))
    nothing = kept(tmp_path, {}, {})
    assert story.judge({}, nothing, True) == ([], 0) and not story.undone
    assert story.judge({"k1": [1], "k2": [2]}, nothing, True)[0] == [] and story.undone == {"k1"}


def test_a_node_that_serves_without_interruption_forgets_nothing(tmp_path):
    grown = [line("put", "k1", 1, history=[1]), line("get", "k1", history=[1]), line("put", "k1", 2, history=[1, 2])]
    assert not promises(tmp_path, *grown).findings
    assert promises(tmp_path, *grown, line("get", "k1", history=[1])).findings
    assert not promises(tmp_path, *grown, line("get", "k9", ok=None), line("get", "k1", history=[1])).findings
    assert not promises(tmp_path, *grown, line("get", "k1", node="serv2", history=[1])).findings
    assert promises(tmp_path, line("get", "k1", history="torn")).findings


def test_the_store_keeps_histories(tmp_path):
    def ask(**request):
        return perform(str(tmp_path), dict(request, name="k1"))
    assert ask(op="get") is None
    assert ask(op="put", version=1, size=10) == [1]
    assert ask(op="put", version=7, size=10) == [1, 7]
    assert ask(op="delete") == [1, 7] and ask(op="get") is None


def test_forbidden_lines():
    assert forbidden("<5>web: active at epoch 4\n<4>mirror files of web failed: serv2 is away\n") == []
    for bad in ("<2>clusterd: invariant broken at x.cpp:3: a (b)", "terminate called after throwing", "==1==ERROR: "
                "AddressSanitizer: heap-use-after-free", "x.cpp:1:2: runtime error: signed integer overflow"):
        assert forbidden("ok\n" + bad) == [bad]


def test_a_seed_draws_its_faults_and_every_fault_can_be_done():
    assert str(draw_labs(5, 200)) == str(draw_labs(5, 200)) != str(draw_labs(6, 200))
    rounds = [faults for _, lab in draw_labs(5, 2000) for faults in lab]
    assert sum(map(len, rounds)) == 2000
    assert {fault.kind for faults in rounds for fault in faults} == set(KINDS)
    for kind in KINDS:
        assert callable(getattr(Hands, "begin_" + kind.replace("-", "_")))
    assert all(len(faults) == 1 for faults in rounds if any(fault.kind in ALONE for fault in faults))
