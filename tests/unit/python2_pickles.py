"""What Python 2's cPickle wrote with protocol 2 for the batches of CIFAR, instruction by instruction."""

import struct

import numpy as np


class Pickler:
    """Writes texts as Python 2's ``str``, and numbers the memo from 1, as cPickle did."""

    def __init__(self):
        self.out, self.memo = bytearray(b"\x80\x02"), {}

    def put(self, name=None):
        index = len(self.memo) + 1
        self.memo[name or object()] = index
        self.out += b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)

    def known(self, name):
        index = self.memo.get(name)
        if index is not None:
            self.out += b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)
        return index is not None

    def text(self, data, name=None):
        self.out += b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))
        self.out += data
        self.put(name)

    def name(self, name):
        if not self.known(name):
            self.out += b"c" + name.replace(" ", "\n").encode() + b"\n"
            self.put(name)

    def number(self, value):
        if value < 0 or value > 0xFFFF:
            self.out += b"J" + struct.pack("<i", value)
        else:
            self.out += b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    def array(self, x):
        self.name("numpy.core.multiarray _reconstruct")
        self.name("numpy ndarray")
        self.number(0)
        self.out += b"\x85"
        self.put()
        self.text(b"b")
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"("
        self.number(1)
        for size in x.shape:
            self.number(size)
        self.out += b"\x86"
        self.put()
        self.name("numpy dtype")
        self.text(b"u1")
        self.number(0)
        self.number(1)
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"("
        self.number(3)
        self.text(b"|")
        self.out += b"NNN"
        for value in (-1, -1, 0):
            self.number(value)
        self.out += b"t"
        self.put()
        self.out += b"b"
        fortran = x.flags.f_contiguous and not x.flags.c_contiguous
        self.out += b"\x88" if fortran else b"\x89"
        self.text(x.tobytes("A"))
        self.out += b"t"
        self.put()
        self.out += b"b"

    def value(self, value):
        if isinstance(value, np.ndarray):
            self.array(value)
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            for first in range(0, len(value), 1000):
                self.out += b"("
                for one in value[first : first + 1000]:
                    self.value(one)
                self.out += b"e"
        elif isinstance(value, str):
            self.text(value.encode("latin-1"))
        else:
            self.number(value)


def dumps(table):
    pickler = Pickler()
    pickler.out += b"}"
    pickler.put()
    pickler.out += b"("
    for key, value in table.items():
        pickler.value(key)
        pickler.value(value)
    pickler.out += b"u."
    return bytes(pickler.out)
