"""Runs a program under a profile of tuning/, as a container without privileges would be: under_profile.py PROFILE [--without
CALL,…] PROGRAM [ARGUMENT…]. With `--probe` for PROGRAM it tries system calls itself and prints each with its outcome."""

import ctypes
import errno
import json
import os
import platform
import sys

import seccomp

ACTIONS = {"SCMP_ACT_ALLOW": seccomp.ALLOW}
OPERATORS = {
    "SCMP_CMP_NE": seccomp.NE, "SCMP_CMP_EQ": seccomp.EQ, "SCMP_CMP_LT": seccomp.LT, "SCMP_CMP_LE": seccomp.LE,
    "SCMP_CMP_GT": seccomp.GT, "SCMP_CMP_GE": seccomp.GE, "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def kernel(text):
    return tuple(int(number) for number in text.split("-")[0].split(".")[:2])


def applies(rule):
    """Whether a rule is meant for a container on this kernel that was given no capabilities of note."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    return (
        not includes.get("caps")
        and ARCHITECTURE in includes.get("arches", [ARCHITECTURE])
        and ARCHITECTURE not in excludes.get("arches", [])
        and kernel(platform.release()) >= kernel(includes.get("minKernel", "0.0"))
    )


def load(path, without):
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    refused = profile.get("defaultErrnoRet", errno.EPERM)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(refused))
    for rule in filter(applies, profile["syscalls"]):
        action = ACTIONS.get(rule["action"]) or seccomp.ERRNO(rule.get("errnoRet", errno.EPERM))
        if action == seccomp.ERRNO(refused):
            continue
        arguments = [
            seccomp.Arg(argument["index"], OPERATORS[argument["op"]], argument["value"], argument.get("valueTwo", 0))
            if argument["op"] == "SCMP_CMP_MASKED_EQ"
            else seccomp.Arg(argument["index"], OPERATORS[argument["op"]], argument["value"])
            for argument in rule.get("args") or []
        ]
        for name in rule["names"]:
            # Names of other architectures, and of calls that are younger than the library.
            if name not in without and seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
                rules.add_rule(action, name, *arguments)
    rules.load()


# With arguments that do nothing where the call is allowed.
CALLS = [
    ("io_uring_setup", 0, 0), ("io_uring_enter", -1, 0, 0, 0), ("io_uring_register", -1, 0, 0, 0),
    ("mount", 0, 0, 0, 0, 0), ("umount2", 0, 0), ("unshare", 0), ("setns", -1, 0), ("pivot_root", 0, 0),
    ("bpf", -1, 0, 0), ("perf_event_open", 0, 0, -1, -1, 0), ("userfaultfd", -1), ("keyctl", -1), ("add_key", 0, 0, 0, 0, 0),
    ("kexec_load", 0, 0, 0, -1), ("init_module", 0, 0, 0), ("swapon", 0, 0), ("open_by_handle_at", -1, 0, 0),
    ("acct", 0x1), ("quotactl", -1, 0, 0, 0), ("iopl", 4), ("socket", 40, 1, 0), ("settimeofday", 1, 0),
]


def probe():
    libc = ctypes.CDLL(None, use_errno=True)
    for name, *arguments in CALLS:
        number = seccomp.resolve_syscall(seccomp.Arch(), name)
        ctypes.set_errno(0)
        result = libc.syscall(number, *(ctypes.c_long(argument) for argument in arguments))
        outcome = "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
        print(f"{name} {outcome}", flush=True)


def main(arguments):
    path, *arguments = arguments
    without = set()
    if arguments[0] == "--without":
        without, arguments = set(arguments[1].split(",")), arguments[2:]
    load(path, without)
    if arguments[0] == "--probe":
        probe()
    else:
        os.execv(arguments[0], arguments)


main(sys.argv[1:])
