"""Which rows a filter judged agrees with the books of the run, over random recipes."""

from hypothesis import strategies as st

COUNT = {"score": "toys.count", "id": "n"}
WHERES = [None, "grade > 2", "n_number > 18", "source = 'a'", "grade > 1 AND origin = 'human'"]


def top(id, by, where=None, fraction=0.7, **more):
    stage = {"filter": "core.top", "id": id, "with": {"by": by, "fraction": fraction}} | more
    return stage | ({"where": where} if where else {})


@st.composite
def pipelines(draw):
    """Filters by scores and by columns of the sources, among rewriting stages, of two branches."""
    stages = []

    def chain(length, first_from=None):
        for at in range(length):
            id = f"s{len(stages)}"
            where = draw(st.sampled_from(WHERES))
            stage = draw(
                st.sampled_from(
                    [
                        top(id, "grade", where),
                        top(id, "grade", where),
                        top(id, "n_number", where, missing="keep"),
                        top(id, "n_number", where, missing="drop"),
                        {"expand": "toys.double", "id": id, "with": {"every": 2}},
                        {"expand": "toys.double", "id": id, "with": {"every": 1, "in_place": True}},
                        {"filter": "toys.odd", "id": id},
                    ]
                )
            )
            stages.append({**stage, "from": first_from} if at == 0 and first_from else stage)

    if draw(st.booleans()):
        for source, name in (("a", "left"), ("b", "right")):
            stages.append(
                {**COUNT, "from": source}
                if source == "a"
                else {"score": "toys.count", "id": "m", "from": source}
            )
            chain(draw(st.integers(1, 2)))
            stages[-1]["as"] = name
        stages.append({"fuse": "core.concat", "id": "joined", "from": ["left", "right"]})
    else:
        stages.append(COUNT)
    chain(draw(st.integers(2, 5)))
    return stages
