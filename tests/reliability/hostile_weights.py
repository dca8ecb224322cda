"""Weight files that are broken or mean harm: each a name, and a function that writes it into a folder."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

CASES = {}
"""Files that have to be refused when they are opened, with one sentence."""
CASES_WHEN_READ = {}
"""Files that may be opened, and have to be refused when a layer is read."""
MAY_READ = {}
"""Damage that may go unnoticed, or has to be refused: nothing else may happen."""

CANARY = "canary"
"""What code in a file would make, if it were run, in the folder where the test runs."""


def add(name, file, content, table=CASES):
    assert name not in table, name
    table[name] = (file, content)


def write(folder: Path, file: str, content) -> Path:
    path = folder / file
    data = content(folder) if callable(content) else content
    if data is not None:
        path.write_bytes(data)
    return path


# valid files of each format, to be damaged


def safetensors(header=None, data=bytes(24), length=None):
    if header is None:
        header = {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape=(2, 3), offsets=(0, 24), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def npy(descr="'<f4'", order="False", shape="(2, 3)", data=bytes(24), version=1, header=None, length=None):
    text = header or f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode("latin-1") + data


def npz(compression=zipfile.ZIP_STORED, **parts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in (parts or {"w.npy": npy()}).items():
            archive.writestr(name, data)
    return buffer.getvalue()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def row(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind="FloatStorage", key="0", count=6):
    return (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(key)
        + text("cpu")
        + number(count)
        + b"tQ"
    )


def tensor(offset=0, shape=(2, 3), strides=(3, 1), stored=None):
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + (storage() if stored is None else stored) + number(offset)
        + row(shape) + row(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def table(**items):
    return b"}" + b"".join(text(key) + value + b"s" for key, value in items.items())


def pt(content=None, data=bytes(24), **more):
    parts = {
        "a/data.pkl": b"\x80\x02" + (table(w=tensor()) if content is None else content) + b".",
        "a/data/0": data,
        **more,
    }
    return npz(**{name: part for name, part in parts.items() if part is not None})


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(index, content):
    if isinstance(content, int):
        return varint(index << 3) + varint(content)
    return varint(index << 3 | 2) + varint(len(content)) + content


def proto(name=b"w", dims=(2, 3), kind=1, raw=bytes(24), more=b""):
    body = b"".join(field(1, size % 2**64) for size in dims) + field(2, kind) + field(8, name)
    return body + (field(9, raw) if raw is not None else b"") + more


def onnx(*tensors, nodes=()):
    graph = b"".join(field(1, node) for node in nodes) + b"".join(
        field(5, each) for each in tensors or (proto(),)
    )
    return field(1, 8) + field(7, graph)


def outside(location, offset="0", length="24"):
    pairs = {"location": location, "offset": offset, "length": length}
    more = b"".join(
        field(13, field(1, key.encode()) + field(2, value.encode())) for key, value in pairs.items()
    )
    return onnx(proto(raw=None, more=more + field(14, 1)))


def index(files, **more):
    return json.dumps({"weight_map": files, **more}).encode()


def hdf5(build):
    def content(folder):
        import h5py

        with h5py.File(folder / "a.h5", "w") as file:
            build(h5py, file)

    return content


VALID = {
    "a.safetensors": safetensors(),
    "a.npy": npy(),
    "a.npz": npz(),
    "packed.npz": npz(zipfile.ZIP_DEFLATED, **{"w.npy": npy()}),
    "a.pt": pt(),
    "a.onnx": onnx(),
    "a.index.json": index({"w": "a.safetensors"}),
}

# cut short, and longer than they say

for file, content in VALID.items():
    for part in range(12):
        cut = len(content) * part // 12 if part else 1
        add(f"{file}: cut to {cut} bytes", file, content[:cut], CASES if file != "a.onnx" else MAY_READ)
    if file not in ("a.onnx",):
        add(f"{file}: with bytes behind", file, content + b"\x01" * 30, CASES)

# single bytes changed: any answer, but no accident

_RNG = np.random.default_rng(20261127)
for file, content in VALID.items():
    for trial in range(12):
        damaged = bytearray(content)
        for place in _RNG.integers(0, len(content), 1 + trial % 3):
            damaged[place] ^= int(_RNG.integers(1, 256))
        add(f"{file}: damage {trial}", file, bytes(damaged), MAY_READ)

# safetensors

for length in (0, 1, 23, 2**31, 2**63, 2**64 - 1):
    add(f"safetensors: header of {length} bytes", "a.safetensors", safetensors(length=length))
for name, header in {
    "a list": b"[1, 2]",
    "not JSON": b"{'w': 1}",
    "nested": b"{" + b'"w":[' * 5000,
    "nested whole": b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"\xff": 1}',
    "long number": b'{"w": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 24]}}',
    "name twice": json.dumps({"w": entry()}).encode()[:-1] + b"," + json.dumps({"w": entry()}).encode()[1:],
    "key twice": b'{"w": {"dtype": "F32", "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}',
    "infinite size": b'{"w": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 24]}}',
    "NaN offset": b'{"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [NaN, 24]}}',
}.items():
    add(f"safetensors: {name}", "a.safetensors", safetensors(header))
for name, header in {
    "entry a number": {"w": 3},
    "entry a list": {"w": [1, 2, 3]},
    "entry nothing": {"w": None},
    "no type": {"w": {"shape": [2, 3], "data_offsets": [0, 24]}},
    "no shape": {"w": {"dtype": "F32", "data_offsets": [0, 24]}},
    "one offset": {"w": entry(offsets=[0])},
    "three offsets": {"w": entry(offsets=[0, 24, 24])},
    "negative size": {"w": entry(shape=[-2, -3])},
    "negative offset": {"w": entry(offsets=[-24, 0])},
    "fractional size": {"w": entry(shape=[2.0, 3])},
    "true as size": {"w": entry(shape=[True, 6])},
    "text as size": {"w": entry(shape="23")},
    "huge size": {"w": entry(shape=[2**62, 2**62])},
    "huge and nothing": {"w": entry(shape=[2**62, 0], offsets=[0, 24])},
    "size beyond 64 bits": {"w": entry(shape=[2**70], offsets=[0, 2**72])},
    "hundred axes": {"w": entry(shape=[1] * 100 + [6])},
    "beyond the end": {"w": entry(shape=[2, 4], offsets=[0, 32])},
    "backwards": {"w": entry(shape=[0], offsets=[24, 0])},
    "overlap": {"w": entry(), "v": entry()},
    "partial overlap": {"w": entry(shape=[4], offsets=[0, 16]), "v": entry(shape=[4], offsets=[8, 24])},
    "gap in front": {"w": entry(shape=[1, 5], offsets=[4, 24])},
    "gap behind": {"w": entry(shape=[1, 5], offsets=[0, 20])},
    "wrong length": {"w": entry(shape=[2, 2])},
    "unknown type": {"w": entry(dtype="F33")},
    "type a list": {"w": entry(dtype=["F32"])},
    "type an object": {"w": entry(dtype={"F32": 1})},
    "name that steers a terminal": {"\x1b[2J": entry()},
    "name of half a character": {"\ud800": entry()},
    "name with a line break": {"a\nb": entry()},
    "no name": {"": entry()},
    "long name": {"w" * 2000: entry()},
    "metadata of numbers": {"__metadata__": {"a": 1}, "w": entry()},
    "metadata a list": {"__metadata__": [1], "w": entry()},
    "nothing but bytes": {},
}.items():
    add(f"safetensors: {name}", "a.safetensors", safetensors(header))

# NumPy

for name, content in {
    "objects": npy(descr="'|O'"),
    "objects in a list": npy(descr="[('a', '|O')]"),
    "record": npy(descr="[('a', '<f4'), ('b', '<f4')]"),
    "code as type": npy(descr=f"open({CANARY!r}, 'w')"),
    "code as header": npy(header=f"__import__('os').system('touch {CANARY}')\n"),
    "negative size": npy(shape="(-2, -3)"),
    "negative and endless": npy(shape="(-1,)"),
    "huge size": npy(shape=f"({2**62}, {2**62})"),
    "size of 200 digits": npy(shape=f"({'9' * 200},)"),
    "power as size": npy(shape="(9**9**9,)"),
    "text for a shape": npy(shape="'23'"),
    "forty axes": npy(shape="(" + "1, " * 40 + "6)"),
    "too few bytes": npy(shape="(2, 4)"),
    "too many bytes": npy(shape="(2, 2)"),
    "version 9": npy(version=9),
    "header beyond the end": npy(length=60_000),
    "header of four gigabytes": npy(version=2, length=2**32 - 1),
    "no header": npy(length=0),
    "unknown type": npy(descr="'<f3'"),
    "type of a million bytes": npy(descr="'|V999999'"),
    "deep header": npy(header="(" * 9000 + "\n"),
    "signs": npy(header="-" * 9000 + "1\n"),
}.items():
    add(f"npy: {name}", "a.npy", content)
    if len(content) < 8000:
        add(f"npz: {name}", "a.npz", npz(**{"w.npy": content}))

# zip archives


def patched(content, *changes):
    data = bytearray(content)
    for place, new in changes:
        data[place : place + len(new)] = new
    return bytes(data)


def directory(content, at=0):
    return content.index(b"PK\x01\x02") + at


def end(content, at=0):
    return content.rindex(b"PK\x05\x06") + at


def bomb(size, name="w.npy", begin=b""):
    """A part that unpacks to many times its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = (
        packer.compress(begin)
        + b"".join(packer.compress(bytes(2**20)) for _ in range(size >> 20))
        + packer.flush()
    )
    total = len(begin) + (size >> 20 << 20)
    local = (
        struct.pack("<4sHHHIIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 0, len(packed), total, len(name), 0)
        + name.encode()
        + packed
    )
    central = (
        struct.pack(
            "<4sHHHHIIIIHHHHHII",
            b"PK\x01\x02",
            20,
            20,
            0,
            8,
            0,
            0,
            len(packed),
            total,
            len(name),
            0,
            0,
            0,
            0,
            0,
            0,
        )
        + name.encode()
    )
    return local + central + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)


def within():
    """An archive whose second part lies inside the numbers of the first."""
    local = npz(**{"b.npy": npy()})
    inner = local[: local.index(b"PK\x01\x02")]
    inner += bytes(-len(inner) % 4)
    outer = npz(**{"a.npy": npy(shape=f"({len(inner) // 4},)", data=inner), "b.npy": npy()})
    place = outer.index(inner)
    return patched(outer, (outer.rindex(b"PK\x01\x02") + 42, struct.pack("<I", place)))


two = npz(**{"a.npy": npy(), "b.npy": npy()})
one = npz()
for name, content in {
    "bomb": bomb(2**28, begin=npy(shape=f"({2**26},)", data=b"")),
    "bomb that hides its size": patched(
        bomb(2**27),
        (22, struct.pack("<I", 200)),
        (bomb(2**27).index(b"PK\x01\x02") + 24, struct.pack("<I", 200)),
    ),
    "same name twice": two.replace(b"b.npy", b"a.npy"),
    "one part inside another": within(),
    "one part upon another": patched(two, (two.rindex(b"PK\x01\x02") + 42, bytes(4))),
    "part beyond the end": patched(one, (directory(one, 42), struct.pack("<I", 10**6))),
    "part of four gigabytes": patched(one, (directory(one, 20), struct.pack("<II", 2**32 - 2, 2**32 - 2))),
    "part longer than it is": patched(one, (directory(one, 20), struct.pack("<II", 400, 400))),
    "encrypted": patched(one, (directory(one, 8), b"\x01\x00")),
    "a patch": patched(VALID["packed.npz"], (directory(VALID["packed.npz"], 8), b"\x20\x00")),
    "name that is not UTF-8": patched(
        one, (directory(one, 8), b"\x00\x08"), (directory(one, 46), b"\xff"), (30, b"\xff")
    ),
    "packed by bzip2": npz(zipfile.ZIP_BZIP2, **{"w.npy": npy()}),
    "packed by LZMA": npz(zipfile.ZIP_LZMA, **{"w.npy": npy()}),
    "another name inside": patched(one, (30, b"x.npy")),
    "more parts than there are": patched(one, (end(one, 10), struct.pack("<H", 500))),
    "directory beyond the end": patched(one, (end(one, 16), struct.pack("<I", 2**31))),
    "directory of four gigabytes": patched(one, (end(one, 12), struct.pack("<I", 2**32 - 1))),
    "no directory": one[: end(one)],
    "no mark of an entry": patched(one, (directory(one), b"XXXX")),
    "numbers of 64 bits that are not there": patched(one, (directory(one, 20), b"\xff" * 8)),
    "damaged deflate": patched(VALID["packed.npz"], (36, b"\xff\xff\xff\xff")),
    "neither": npz(**{"readme.txt": b"hello"}),
    "no parts": npz(**{"a/": b""}),
    "name with a line break": npz(**{"a\nb.npy": npy()}),
    "name that steers a terminal": npz(**{"\x1b[31m.npy": npy()}),
}.items():
    add(f"zip: {name}", "a.npz", content)

# PyTorch


def evil(function, *arguments):
    class Evil:
        def __reduce__(self):
            return function, arguments

    return Evil()


CODE = {
    "system": evil(os.system, f"touch {CANARY}"),
    "eval": evil(eval, f"open({CANARY!r}, 'w')"),
    "exec": evil(exec, f"open({CANARY!r}, 'w')"),
    "open": evil(open, CANARY, "w"),
    "getattr": evil(getattr, "abc", "upper"),
    "import": evil(__import__, "antigravity"),
}
for name, thing in CODE.items():
    for protocol in range(6):
        try:
            made = pickle.dumps({"w": thing}, protocol=protocol)
        except (pickle.PicklingError, TypeError):
            continue
        add(f"pickle: {name} by protocol {protocol}", "a.pt", pt(**{"a/data.pkl": made}))
    add(f"pickle: {name}, bare", "a.pt", pickle.dumps(thing, protocol=4))
    add(
        f"pickle: {name} in the constants", "a.pt", pt(**{"a/constants.pkl": pickle.dumps(thing, protocol=2)})
    )

deep = b"]" * 3000 + b"a" * 2999
laughs = b")" + b"2\x86" * 60
again = b"]q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))
for name, content in {
    "global of another module": b"cposix\nsystem\n" + text("x") + b"\x85R",
    "computed name": text("posix") + text("system") + b"\x93)R",
    "name that is no text": b"K\x01K\x02\x93)R",
    "torch.load": b"ctorch\nload\n" + text("x") + b"\x85R",
    "torch.hub": b"ctorch.hub\nload\n)R",
    "name beneath an allowed one": b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n)R",
    "class of a user": b"c__main__\nNet\n)\x81}b",
    "TorchScript without TorchScript": b"c__torch__\nNet\n)\x81}b",
    "numpy": b"cnumpy.core.multiarray\n_reconstruct\n)R",
    "instance": b"(ios\nsystem\n",
    "extension": b"\x82\x01",
    "buffer outside": b"\x97",
    "object by class": b"(cos\nsystem\no",
    "old text": b"S'x'\n",
    "old number": b"I1\n",
    "empty stack": b"R",
    "pop of nothing": b"0",
    "mark without end": b"(",
    "end without mark": b"t",
    "two values": b"NN",
    "no value": b"",
    "memory that is not there": b"h\x07",
    "remember nothing": b"q\x00",
    "text of two gigabytes": b"X" + struct.pack("<I", 2**31) + b"x",
    "text of 2^63 bytes": b"\x8d" + struct.pack("<Q", 2**63) + b"x",
    "number of 255 bytes cut": b"\x8a\xffxx",
    "deep lists": deep,
    "tables of tables, each twice": again + b"}h\x00N",
    "tuple as a key": b"}" + again + b"Ns",
    "append to a table": b"}Na",
    "set in a list": b"]NNs",
    "odd items": b"}(Nu",
    "state of a number": b"K\x01}b",
    "call of a number": b"K\x01)R",
    "call without arguments": b"ctorch._utils\n_rebuild_tensor_v2\n)R",
    "call with a list": b"ctorch._utils\n_rebuild_tensor_v2\n]R",
    "make of an allowed name": b"ccollections\nOrderedDict\n)\x81",
    "call of a storage": b"ctorch\nFloatStorage\n)R",
    "storage that is a number": b"K\x01Q",
    "storage of too few": b"(" + text("storage") + b"tQ",
    "storage of another kind": b"("
    + text("module")
    + b"ctorch\nFloatStorage\n"
    + text("0")
    + text("cpu")
    + number(6)
    + b"tQ",
    "storage of no class": storage(kind="Size"),
    "tensor of no storage": tensor(stored=b"N"),
    "tensor of a text": tensor(stored=text("0")),
}.items():
    add(f"pickle: {name}", "a.pt", pt(content))
for name, made in {
    "missing part": tensor(stored=storage(key="7")),
    "part above": tensor(stored=storage(key="../data.pkl")),
    "more numbers than there are": tensor(stored=storage(count=10**12)),
    "fewer than none": tensor(stored=storage(count=-6)),
    "shape beyond": tensor(shape=(2, 4), strides=(4, 1)),
    "offset beyond": tensor(offset=1),
    "offset in front": tensor(offset=-1),
    "negative stride": tensor(strides=(-3, 1)),
    "negative size": tensor(shape=(-2, 3)),
    "strides of another length": tensor(strides=(3,)),
    "repeated numbers": tensor(shape=(10**6, 10**6), strides=(0, 0)),
    "repeated rows": tensor(shape=(4, 3), strides=(0, 1)),
    "huge stride": tensor(strides=(2**62, 1)),
    "huge size": tensor(shape=(2**62, 2**62), strides=(1, 1)),
    "size of 72 bits": tensor(shape=(2**70, 3)),
}.items():
    add(f"pt: {name}", "a.pt", pt(table(w=made)))
add("pickle: memory of two gigabytes", "a.pt", pt(b"Nr" + struct.pack("<I", 2**31)), MAY_READ)
add("pt: name twice", "a.pt", pt(b"}(" + 2 * (text("w") + tensor()) + b"u"))
add("pt: one name in two ways", "a.pt", pt(table(**{"a.b": tensor(), "a": table(b=tensor())})))
add("pt: name that steers a terminal", "a.pt", pt(table(**{"\x1b[2J": tensor()})))
add("pt: storage cut", "a.pt", pt(data=bytes(20)))
add("pt: two pickles", "a.pt", pt(**{"b/data.pkl": b"\x80\x02}."}))
add("pt: empty pickle", "a.pt", pt(**{"a/data.pkl": b""}))
add("pt: legacy", "a.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
add("pt: pickle of instructions without end", "a.pt", pt(b"N0" * 2_200_000 + b"N"))

# ONNX

nested = proto()
for _ in range(200):
    nested = field(1, field(4, b"If") + field(5, field(1, b"then") + field(6, nested)))
for name, content in {
    "graphs in graphs": field(7, nested),
    "unknown kind of field": b"\x0f\x00",
    "group": b"\x0b\x0c",
    "number without end": b"\x08" + b"\xff" * 20,
    "length beyond": b"\x3a\xff\xff\xff\xff\x0f",
    "length of 2^63": b"\x3a" + varint(2**63),
    "no graph": field(1, 8),
    "two graphs": onnx() + onnx(),
    "graph a number": b"\x38\x01",
    "same name twice": onnx(proto(), proto()),
    "negative size": onnx(proto(dims=(-2, -3))),
    "huge size": onnx(proto(dims=(2**62, 2**62))),
    "hundred axes": onnx(proto(dims=(1,) * 100)),
    "too few bytes": onnx(proto(raw=bytes(20))),
    "too many bytes": onnx(proto(raw=bytes(28))),
    "no bytes": onnx(proto(raw=None)),
    "unknown type": onnx(proto(kind=77)),
    "name that is not UTF-8": onnx(proto(name=b"\xff\xfe")),
    "name that steers a terminal": onnx(proto(name=b"\x1b[2J")),
    "list of another length": onnx(proto(raw=None, more=field(4, bytes(20)))),
    "list of another type": onnx(proto(raw=None, more=field(10, bytes(48)))),
    "a field for every number": onnx(proto(raw=None, more=field(5, 1) * 6)),
    "empty fields without end": field(7, b"\x0a\x00" * 1_100_000),
    "dims without end": onnx(proto(dims=(), more=field(1, b"\x01" * 2_200_000))),
    "data outside, absolute": outside("/etc/passwd"),
    "data outside, other system": outside("..\\secret.bin"),
    "data outside, drive": outside("C:secret.bin"),
    "data outside, device": outside("/dev/zero"),
    "data outside, missing": outside("none.bin"),
    "data outside, no name": outside(""),
    "data outside, here": outside("."),
    "data outside, zero byte": outside("a\0b"),
    "data outside, long name": outside("a" * 5000),
    "data outside, beyond the end": outside("a.onnx", offset="100000"),
    "data outside, negative": outside("a.onnx", offset="-8"),
    "data outside, no number": outside("a.onnx", length="1e3"),
    "data outside, number of 5000 digits": outside("a.onnx", offset="9" * 5000),
    "data outside, wrong length": outside("a.onnx", length="20"),
}.items():
    add(f"onnx: {name}", "a.onnx", content)


def linked(folder):
    (folder.parent / "secret.bin").write_bytes(bytes(24))
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")
    return outside("link.bin")


add("onnx: data outside by a link", "a.onnx", linked)
add(
    "onnx: short numbers of another count",
    "a.onnx",
    onnx(proto(kind=10, raw=None, more=field(5, b"\x80" * 5 + b"\x00"))),
    CASES_WHEN_READ,
)

# indices of shards

for name, content in {
    "absolute": index({"w": "/etc/passwd"}),
    "other system": index({"w": "..\\a.safetensors"}),
    "drive": index({"w": "C:\\a.safetensors"}),
    "device": index({"w": "/dev/zero"}),
    "address": index({"w": "http://localhost/a.safetensors"}),
    "zero byte": index({"w": "a\0.safetensors"}),
    "itself": index({"w": "a.index.json"}),
    "missing": index({"w": "none.safetensors"}),
    "here": index({"w": "."}),
    "nothing": index({"w": ""}),
    "long name": index({"w": "a" * 5000}),
    "number": index({"w": 3}),
    "list": index({"w": ["a.safetensors"]}),
    "no tensors": index({}),
    "no table": b"{}",
    "a list": b"[]",
    "not JSON": b"weights",
    "name twice": b'{"weight_map": {"w": "a.safetensors", "w": "a.safetensors"}}',
    "deep": b'{"weight_map":' + b"[" * 100_000,
}.items():
    add(f"index: {name}", "a.index.json", content)


def beside(shard, table):
    def content(folder):
        (folder / "shard").write_bytes(shard)
        return index(table)

    return content


def above(content, name):
    """Content that leads to a file which is there, is valid, and lies above the folder."""

    def made(folder):
        (folder / "x").mkdir()
        (folder.parent / name).write_bytes(safetensors())
        return content

    return made


add("index: above", "a.index.json", above(index({"w": "../a.safetensors"}), "a.safetensors"))
add("index: above by a detour", "a.index.json", above(index({"w": "x/../../a.safetensors"}), "a.safetensors"))
add("onnx: data outside, above", "a.onnx", above(outside("../secret.bin"), "secret.bin"))
add("onnx: data outside, above by a detour", "a.onnx", above(outside("x/../../secret.bin"), "secret.bin"))
add("index: tensor that is not there", "a.index.json", beside(safetensors(), {"v": "shard"}))
add("index: damaged shard", "a.index.json", beside(safetensors()[:-1], {"w": "shard"}))
add("index: shard of another format", "a.index.json", beside(npy(), {"w": "shard"}))


def pipe(folder):
    os.mkfifo(folder / "shard")
    return index({"w": "shard"})


add("index: shard is a pipe", "a.index.json", pipe)

# HDF5


def _soft(h5py, file):
    file["w"] = h5py.SoftLink("/nowhere")


def _external_link(h5py, file):
    file["w"] = h5py.ExternalLink("/etc/passwd", "/")


def _external_data(_, file):
    file.create_dataset("w", (2, 3), "f4", external=[("/etc/passwd", 0, 24)])


def _virtual(h5py, file):
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "w", (2, 3))
    file.create_virtual_dataset("w", layout)


def _chunks(_, file):
    file.create_dataset("w", (10**6, 10**6), "f4", chunks=(10, 10), compression="gzip")


for name, build in {
    "link to nowhere": _soft, "link to another file": _external_link,
    "numbers in another file": _external_data,
    "virtual": _virtual, "chunks that unpack to terabytes": _chunks,
}.items():  # fmt: skip
    add(f"hdf5: {name}", "a.h5", hdf5(build))
for part in range(1, 12):

    def cut(folder, part=part):
        hdf5(lambda _, file: file.create_dataset("dense/w", data=np.ones((9, 9), np.float32)))(folder)
        data = (folder / "a.h5").read_bytes()
        return data[: len(data) * part // 12]

    add(f"hdf5: cut to {part} twelfths", "a.h5", cut, MAY_READ)

# anything else

for name, (file, content) in {
    "empty": ("a.bin", b""),
    "zeros": ("a.bin", bytes(100)),
    "text": ("a.bin", b"hello, world\n" * 9),
    "a picture": ("a.bin", b"\x89PNG\r\n\x1a\n" + bytes(50)),
    "an empty archive": ("a.bin", b"PK\x05\x06" + bytes(18)),
    "the beginning of an archive": ("a.bin", b"PK\x03\x04"),
    "empty ONNX": ("a.onnx", b""),
    "empty index": ("a.index.json", b""),
    "no file": ("a.bin", lambda _: None),
    "a folder": ("a.bin", lambda folder: (folder / "a.bin").mkdir()),
    "a pipe": ("a.bin", lambda folder: os.mkfifo(folder / "a.bin")),
    "a link to itself": ("a.bin", lambda folder: (folder / "a.bin").symlink_to(folder / "a.bin")),
}.items():
    add(f"other: {name}", file, content)

# numbers that are no numbers

for name, values in {
    "NaN": [np.nan] * 6,
    "one NaN": [1, 2, np.nan, 4, 5, 6],
    "infinity": [np.inf, 2, 3, 4, 5, -np.inf],
}.items():
    data = np.array(values, np.float32).tobytes()
    add(f"safetensors: {name}", "a.safetensors", safetensors(data=data), CASES_WHEN_READ)
    add(f"pt: {name}", "a.pt", pt(data=data), CASES_WHEN_READ)
    add(f"npy: {name}", "a.npy", npy(data=data), CASES_WHEN_READ)
    add(f"onnx: {name}", "a.onnx", onnx(proto(raw=data)), CASES_WHEN_READ)
