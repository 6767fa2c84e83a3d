"""Batches of pairs, streamed from disk; the same for the same seed, epoch and step."""

import keras
import numpy as np


class TrainingPairs(keras.utils.PyDataset):
    """Random pairs of different subjects with random hyper-parameters.

    What a batch holds depends on the seed, the epoch and the step alone: a training that
    is resumed sees what it would have seen.

    Args:
        subjects: List of `Subject`, two or more.
        cache: `SubjectCache`.
        hyper_parameters: List of `HyperParameter`; empty for a network without.
        training: `TrainingConfig`: `steps` per epoch, `batch_size` in pairs, and `hyper_per`: what shares one draw,
            a "sample" or a "batch" (the paper).
        labels: Whether the label volumes come along.
        seed: Integer.
        first_epoch: Epoch with which it begins.
    """

    def __init__(self, subjects, cache, hyper_parameters, training, labels=False, seed=0, first_epoch=0):
        super().__init__(workers=1)
        self.subjects, self.cache = subjects, cache
        self.hyper_parameters = list(hyper_parameters)
        self.steps, self.batch_size, self.hyper_per = training.steps, training.batch_size, training.hyper_per
        self.labels, self.seed, self.epoch = labels, seed, first_epoch

    def __len__(self):
        return self.steps

    def on_epoch_end(self):
        self.epoch += 1

    def draw(self, epoch, step):
        """Who is registered to whom, and with which hyper-parameters.

        Args:
            epoch: From 0.
            step: From 0.

        Returns:
            Indices of the subjects `(batch_size, 2)`, moving and fixed, and hyper-parameter
            values `(batch_size, number of hyper-parameters)`.
        """
        rng = np.random.default_rng([self.seed, epoch, step])
        pairs = np.stack([rng.choice(len(self.subjects), 2, replace=False) for _ in range(self.batch_size)])
        draws = 1 if self.hyper_per == "batch" else self.batch_size
        values = [hyper.sample(rng, draws) for hyper in self.hyper_parameters]
        hyper = np.stack(values, axis=1) if values else np.zeros((draws, 0), "float32")
        return pairs, np.repeat(hyper, self.batch_size // draws, axis=0)

    def __getitem__(self, step):
        pairs, hyper = self.draw(self.epoch, step)
        moving, fixed = ([self.subjects[index] for index in column] for column in pairs.T)
        x = {
            "moving": np.stack([self.cache.image(subject) for subject in moving]),
            "fixed": np.stack([self.cache.image(subject) for subject in fixed]),
        }
        if self.hyper_parameters:
            x["hyper"] = hyper
        if not self.labels:
            return (x,)
        return x, {
            "moving_labels": np.stack([self.cache.labels(subject) for subject in moving]),
            "fixed_labels": np.stack([self.cache.labels(subject) for subject in fixed]),
        }
