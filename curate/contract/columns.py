"""What the columns of a table hold, and the names that the framework gives some of them."""

from typing import Literal, get_args

Kind = Literal["string", "integer", "number", "boolean", "vector", "nested"]
"""Kinds of column. `number` takes integers too; `vector` is a fixed-length array of float32."""

TEXTS = ("@instruction", "@response", "@both")
"""Names under which stages read text: derived from `messages` by the framework (see examples)."""

REJECTED = "@rejected"
"""The turns of the rejected answer of a preference, null where a row is none. Made from the columns
of a row's format for stages that read it; an expand stage writes it by `Child.rejected`."""

SEAM = "@seam"
"""How prompt and answer of a row meet where it is trained on, by its format: null where a template
stands between; `texts` where they are texts that follow each other as they are; `common` where the
answers of a pair are whole texts, and the prompt is what both begin with (`common_start`)."""

BY_FORMAT = (REJECTED, SEAM)
"""Columns that no table has: they are made from the fields of a row's format."""

Origin = Literal["human", "synthetic", "mixed", "unknown"]
ORIGINS: tuple[str, ...] = get_args(Origin)
"""Who wrote an example."""

ASKED = "@asked"
"""Boolean column given to filters that see rows outside their `where:`; false for those."""
