"""Pipeline schedules, one a file.

Each offers ``order(stages, microbatches, chunks)``, the tasks of each stage; ``routes(stages, chunks)``, the
ways of a microbatch through (stage, chunk), along which the layers are cut; the closed forms ``bubble`` and
``in_flight``; and

- ``SPLIT``: whether W is a task of its own;
- ``CHUNKS``: how many chunks a stage can have, the fewest first;
- ``COPIES``: how often the parameters are held;
- ``STAGGERED``: whether the bubble counts from a stage's own first task to its own last one. Then a step
  takes its work and the bubble only if no stage waits for the others before the next step. Elsewhere that is
  the time from the first start to the last end.
"""

from workloads._registry import Registry

SCHEDULES = Registry(__name__, __path__)
