"""The rival's half of ``benchmarks.rectools``: trains RecTools' SASRec in an environment of its own; prints JSON.

    ENV/bin/python -I benchmarks/rectools_sasrec.py SEQUENCES.npz LISTS.npz '{"epochs": 1, ...}'

It imports nothing of Shoploom, whose numpy is too new for RecTools. ``-I``, because a file beside it is called
``rectools.py``. Reads item rows and offsets of all sequences; writes the best items of each.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import numpy as np


def main(source: str, target: str, settings: str) -> int:
    import pandas as pd
    import torch
    from pytorch_lightning import Trainer, seed_everything
    from pytorch_lightning.callbacks import LambdaCallback
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    warnings.filterwarnings("ignore")
    asked: dict[str, Any] = json.loads(settings)
    torch.set_num_threads(asked["threads"])
    seed_everything(asked["seed"])
    arrays = np.load(source)
    lengths = np.diff(arrays["offsets"])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    day = np.arange(len(owner)) - np.repeat(arrays["offsets"][:-1], lengths)
    columns = {Columns.User: owner, Columns.Item: arrays["items"], Columns.Weight: 1.0}
    table = pd.DataFrame(columns | {Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D")})
    dataset = Dataset.construct(table)
    clock: dict[str, float] = {}

    def trainer() -> Any:
        told = LambdaCallback(
            on_train_start=lambda *_: clock.update(start=time.perf_counter(), worked=time.process_time()),
            on_train_end=lambda *_: clock.update(end=time.perf_counter(), done=time.process_time()),
        )
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        epochs = asked["epochs"]
        return Trainer(
            max_epochs=epochs, min_epochs=epochs, accelerator="cpu", devices=1, logger=False, callbacks=[told], **quiet
        )

    model = SASRecModel(
        n_blocks=asked["layers"],
        n_heads=asked["heads"],
        n_factors=asked["dim"],
        dropout_rate=asked["dropout"],
        session_max_len=asked["length"],
        loss=asked["loss"],
        n_negatives=asked["negatives"],
        batch_size=asked["batch"],
        epochs=asked["epochs"],
        get_trainer_func=trainer,
        recommend_torch_device="cpu",
    )
    start = time.perf_counter()
    model.fit(dataset)
    fitted = time.perf_counter() - start
    k = asked["k"]
    found = model.recommend(users=np.arange(len(lengths)), dataset=dataset, k=k, filter_viewed=True)
    lists = np.full((len(lengths), k), -1, dtype=np.int64)
    lists[found[Columns.User].to_numpy(), found[Columns.Rank].to_numpy() - 1] = found[Columns.Item].to_numpy()
    np.savez(target, lists=lists)
    parameters = sum(one.numel() for one in model.torch_model.parameters())
    loss = model.fit_trainer.callback_metrics[model.lightning_model.train_loss_name]
    told = {"train_seconds": clock["end"] - clock["start"], "processor_seconds": clock["done"] - clock["worked"]}
    told |= {"fit_seconds": fitted, "loss": float(loss)}
    print(json.dumps(told | {"parameters": parameters, "threads": torch.get_num_threads()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
