"""df.llm is there after `import hybrid_nb.pandas`, and after %load_ext where pandas is; not by `import hybrid_nb`."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOAD = "from IPython.core.interactiveshell import InteractiveShell as S; h.load_ipython_extension(S.instance())"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import hybrid_nb as h, sys; h.Router; print('pandas' in sys.modules)", "False"),
        ("import pandas, hybrid_nb as h; print(hasattr(pandas.DataFrame, 'llm'))", "False"),
        ("import hybrid_nb.pandas, pandas; print(hasattr(pandas.DataFrame, 'llm'))", "True"),
        (f"import pandas, hybrid_nb as h; {LOAD}; print(hasattr(pandas.DataFrame, 'llm'))", "True"),
        (f"import hybrid_nb as h, sys; {LOAD}; print('pandas' in sys.modules)", "False"),
    ],
)
def test_where_the_accessor_is(code, told, tmp_path):
    env = {"IPYTHONDIR": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert made.stdout.split()[-1:] == [told], made.stderr[-2000:]
