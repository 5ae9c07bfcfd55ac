#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns text files into one C file: org.forkd.jobs.varlink becomes varlink_org_forkd_jobs[]."""

import pathlib
import sys

print('#include "interfaces.h"')
for argument in sys.argv[1:]:
    path = pathlib.Path(argument)
    name = "varlink_" + path.stem.replace(".", "_")
    data = path.read_bytes() + b"\0"
    print(f"extern const char {name}[];")
    print(f"const char {name}[] = {{")
    for i in range(0, len(data), 16):
        # a cast, for bytes of UTF-8 are no values of a signed char
        print("        " + " ".join(f"(char)0x{b:02x}," for b in data[i : i + 16]))
    print("};")
