"""Kernel, real-time rights and processors. Source: sched(7), kernel parameters, CPU frequency and PM QoS documents."""

from __future__ import annotations

from controller.doctor.answers import Answers
from controller.doctor.finding import IN_CONTAINER, SHORT, UDEV, UNIT, UNKNOWN, Finding, Host, Mend
from cython_core.realtime.host import GRANT_FIFO, GRANT_GROUP, GRANT_IDLE, GRANT_MEMORY, preemption

ENOUGH_TO_SPARE_ONE = 4  # processors
IN_SHELL = "for a login shell, in /etc/security/limits.d/v2g.conf, then log in again"
WHOSE = "This is what this user is granted here; a service is granted what its unit says."


def kernel(host: Host, answers: Answers) -> Finding:
    """How far the kernel can be interrupted."""
    mode = preemption(host.root)
    dynamic = "PREEMPT_DYNAMIC" in host.text("/proc/sys/kernel/version")
    words = {"rt": "rt (PREEMPT_RT)", "unknown": "preemption unknown (only root may read it here)"}
    found = words.get(mode, f"preempt={mode}" + ("; it can be chosen at boot" if dynamic else ", built so"))
    if mode == "unknown":
        return Finding("kernel", found, UNKNOWN)
    if mode in ("rt", "full", "lazy"):
        return Finding("kernel", found)
    image = {"aarch64": "arm64", "x86_64": "amd64"}.get(answers.machine, "armmp")
    install = Mend("as a command (Debian), then reboot", f"sudo apt install linux-image-rt-{image}")
    why = "A step waits until the kernel has finished whatever it is doing for somebody else."
    return Finding("kernel", found, SHORT, why, (host.kernel_parameter("preempt=full") if dynamic else install,))


def priority(host: Host, answers: Answers) -> Finding:
    """SCHED_FIFO for the loop's thread: really asked for."""
    if not answers.fifo.startswith("other"):
        return Finding("real-time", answers.fifo)
    found = answers.fifo.partition(";")[0].removeprefix("other: ")
    why = f"Every other program on this host can delay a step. {WHOSE}"
    if GRANT_GROUP in answers.fifo:
        why = (
            "The kernel gives control groups no real-time budget (CONFIG_RT_GROUP_SCHED), so that root is refused too. "
            "One of these lines; the first works on every kernel, the second keeps the guard against runaway threads."
        )
        sysctl = Mend("in /etc/sysctl.d/90-v2g.conf, then sudo sysctl --system", GRANT_GROUP)
        return Finding("real-time", found, SHORT, why, (sysctl, host.kernel_parameter("rt_group_sched=0")))
    mend = rights(host, answers, GRANT_FIFO, "rtprio 90", "--cap-add=SYS_NICE --ulimit rtprio=90")
    return Finding("real-time", found, SHORT, why, mend)


def memory_lock(host: Host, answers: Answers) -> Finding:
    """Locked memory: really asked for."""
    if not answers.memory.startswith("none"):
        return Finding("memory-lock", answers.memory)
    found = answers.memory.partition(";")[0].removeprefix("none: ")
    why = f"The controller's memory may be moved to the disk; a step then waits for it. {WHOSE}"
    mend = rights(host, answers, GRANT_MEMORY, "memlock unlimited", "--ulimit memlock=-1")
    return Finding("memory-lock", found, SHORT, why, mend)


def rights(host: Host, answers: Answers, unit: str, limit: str, container: str) -> tuple[Mend, ...]:
    """The same right for a service, for a shell and for a container."""
    mend = (Mend(UNIT, unit), Mend(IN_SHELL, f"{answers.user} - {limit}"))
    return (*mend, Mend(IN_CONTAINER, container)) if host.is_container else mend


def rt_runtime(host: Host) -> Finding:
    """The share of each second that real-time threads may have in all."""
    runtime_us = host.number("/proc/sys/kernel/sched_rt_runtime_us")
    period_us = host.number("/proc/sys/kernel/sched_rt_period_us") or 1_000_000
    if runtime_us is None:
        return Finding("real-time-share", "cannot be read", UNKNOWN)
    if runtime_us < 0:
        return Finding("real-time-share", "no limit; nothing stops a runaway real-time thread")
    found = f"{runtime_us} of {period_us} µs"
    if runtime_us >= period_us // 2:
        return Finding("real-time-share", found)
    why = "Real-time threads are stopped for the rest of each period once they have used this up."
    where = "in /etc/sysctl.d/90-v2g.conf, then sudo sysctl --system"
    return Finding("real-time-share", found, SHORT, why, (Mend(where, "kernel.sched_rt_runtime_us=950000"),))


def governor(host: Host) -> Finding:
    """Who sets the processors' clock."""
    governors = host.texts("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    found = ", ".join(sorted({g for g in governors if g}))
    if not found:
        return Finding("governor", "no frequency scaling here (virtual machine, container, or none)", UNKNOWN)
    if found == "performance":
        return Finding("governor", found)
    why = "The clock falls while the controller sleeps, so that it wakes late and computes slowly."
    mend = (
        Mend("as a command, until the next boot",
             "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"),
        host.kernel_parameter("cpufreq.default_governor=performance"),
    )  # fmt: skip
    return Finding("governor", found, SHORT, why, mend)


def idle_states(host: Host, answers: Answers) -> Finding:
    """/dev/cpu_dma_latency: really opened and held."""
    found = answers.idle.partition(";")[0]
    if found.startswith("held"):
        return Finding("idle-states", found)
    why = "A processor in a deep idle state takes long to wake up: the first thing to mend for late steps."
    if "refused" in found:
        member = Mend("as a command, once", f"sudo groupadd -f v2g && sudo usermod -aG v2g {answers.user}")
        return Finding("idle-states", found, SHORT, why, (member, Mend(UDEV, GRANT_IDLE)))
    if host.is_container:
        return Finding("idle-states", found, SHORT, why, (Mend(IN_CONTAINER, "--device=/dev/cpu_dma_latency"),))
    return Finding("idle-states", found, UNKNOWN)


def isolated(host: Host) -> Finding:
    """A processor that the scheduler leaves alone."""
    alone = host.text("/sys/devices/system/cpu/isolated")
    online = cpus(host.text("/sys/devices/system/cpu/online"))
    if alone:
        return Finding("isolated-cpu", f"{alone}; CPUAffinity={alone} in the unit puts the controller there")
    if not online:
        return Finding("isolated-cpu", "cannot be read", UNKNOWN)
    if len(online) < ENOUGH_TO_SPARE_ONE:
        return Finding("isolated-cpu", f"none; {len(online)} are too few to spare one")
    last = online[-1]
    words = f"isolcpus=domain,managed_irq,{last} irqaffinity=0-{last - 1} rcu_nocbs={last}"
    why = "Other programs and interrupts share the controller's processor. Advised, not needed."
    mend = (host.kernel_parameter(words), Mend(UNIT, f"CPUAffinity={last}"))
    return Finding("isolated-cpu", f"none of {len(online)}", SHORT, why, mend)


def cpus(text: str) -> list[int]:
    """'0-2,5' -> [0, 1, 2, 5]"""
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
