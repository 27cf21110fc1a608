"""How throughput grows from one Ray Serve replica to two, on one-CPU nodes: ``python -m benchmarks.scaling.ray_scaling``.

The nodes, the proxy and the client share this machine. One and two replicas take turns, so that others on it slow both alike.
Asked for a canvas, the proxy and the client work about as much as a replica; asked for many at once, the replica does the work.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
import yaml

from benchmarks.pictures import canvas, encode
from benchmarks.scaling.ray_cluster import HOST, ROOT, Cluster, free_port, ray_python, start_cluster
from benchmarks.serving.client import Load, closed_loop, post, post_file

CONNECTIONS = 16
IN_A_BATCH = 16
WARM_UP = 5.0  # seconds that are not counted
REPLICAS = (1, 2)

Loads = dict[tuple[str, int], list[Load]]  # a round each, by what is asked and the number of replicas


def load_config(port: int, replicas: int) -> dict[str, Any]:
    """deploy/ray/cpu.yaml with so many replicas, neither more nor fewer, behind one proxy on loopback."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "ray" / "cpu.yaml").read_text(encoding="utf-8"))
    config["proxy_location"] = "HeadOnly"
    config["http_options"] |= {"host": HOST, "port": port}
    deployment = config["applications"][0]["deployments"][0]
    deployment["autoscaling_config"] |= {"min_replicas": replicas, "max_replicas": replicas, "initial_replicas": replicas}
    return config


def requests() -> dict[str, bytes]:
    """What is asked, by name."""
    picture = encode(canvas(5))
    return {
        "a canvas": post("/predict", picture, "image/png"),
        f"a batch of {IN_A_BATCH}": post_file("/predict/batch", picture, "files", IN_A_BATCH),
    }


def measure(cluster: Cluster, rounds: int, seconds: float) -> Loads:
    """What one and two replicas answer: a closed loop a round for each of the requests."""
    port = free_port()
    loads: Loads = {(name, replicas): [] for name in requests() for replicas in REPLICAS}
    for _ in range(rounds):
        for replicas in REPLICAS:
            cluster.deploy(load_config(port, replicas))
            cluster.wait_for_replicas(replicas)
            for name, request in requests().items():
                closed_loop(port, request, CONNECTIONS, WARM_UP)
                loads[name, replicas].append(closed_loop(port, request, CONNECTIONS, seconds))
    return loads


def to_table(loads: Loads) -> str:
    """Markdown: good answers a second, the median of the rounds with their least and most, and the ratio round by round."""
    lines = ["| a request | replicas | answers a second | over one replica | failed |", "|---|---|---|---|---|"]
    rates = {place: [load.rate() for load in rounds] for place, rounds in loads.items()}
    for (name, replicas), rounds in loads.items():
        ratios = [rate / one for rate, one in zip(rates[name, replicas], rates[name, 1], strict=True)]
        failed = sum(count for load in rounds for status, count in load.statuses.items() if status != 200)
        answers = _spread(rates[name, replicas], 1)
        lines.append(f"| {name} | {replicas} | {answers} | {_spread(ratios, 2)} | {failed} |")
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main(
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    seconds: Annotated[float, typer.Option(help="Length of a turn.")] = 10,
) -> None:
    """Prints a table for docs/ray.md."""
    python = ray_python()
    if python is None:
        typer.echo("Ray is not installed; `make ray` does it.", err=True)
        raise typer.Exit(2)
    with TemporaryDirectory(dir="/tmp", prefix="ray-") as folder, start_cluster(python, Path(folder)) as cluster:
        for name in ("one", "two"):
            cluster.add(name)
        typer.echo(to_table(measure(cluster, rounds, seconds)))


if __name__ == "__main__":
    typer.run(main)
