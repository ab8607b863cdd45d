"""Where the parts of the tools lie: beside an installed one, or in a checkout's build folder."""

import os

from .arms import Wrong


class Places:
    """`here` is the folder of the tool itself."""

    def __init__(self, here):
        prefix = os.path.dirname(os.path.dirname(here))
        build = os.environ.get("BUILD") or os.path.join(os.path.dirname(here), "build")
        installed = [os.path.join(prefix, "lib", f"{os.uname().machine}-linux-gnu"),
                     os.path.join(prefix, "lib")]
        self.libraries = [os.path.join(build, "release-gcc"), *installed]
        self.private = [build, *(os.path.join(folder, "hakmem") for folder in installed)]
        self.tools = [build, os.path.join(prefix, "bin")]

    @staticmethod
    def _first(name, folders, advice):
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                return os.path.realpath(path)
        raise Wrong(f"{name} is not in {', '.join(folders)}: {advice}")

    def library(self, chosen=None):
        """The shared library, or what the user chose."""
        if chosen:
            if not os.path.isfile(chosen):
                raise Wrong(f"{chosen} is not there")
            with open(chosen, "rb") as file:
                if b"\0hak_version\0" not in file.read():  # a name in its table of symbols
                    raise Wrong(f"{chosen} is no libhakmem.so")
            return os.path.realpath(chosen)
        return self._first("libhakmem.so.0", self.libraries, "--library names it")

    def tool(self, name):
        return self._first(name, self.tools, "make tools builds it")

    def private_tool(self, name):
        return self._first(name, self.private, "make tools builds it")
