"""What can go wrong, by cause.

Every message names what is wrong, where, and what to do about it, in one line:
the command line prints it without a traceback, with fields as flags.
"""


class ClipbenchError(Exception):
    """Base of all errors that a user can mend."""


class UnknownName(ClipbenchError):
    """A task, group, model, concept or dataset name that nothing answers to."""


class DataError(ClipbenchError):
    """A dataset, a row of it, or an image that cannot be read."""


class ModelError(ClipbenchError):
    """A checkpoint that cannot be loaded, or features that cannot be used."""


class ConfigError(ClipbenchError):
    """An option, a configuration file or a plug-in that is invalid."""


class ModelTypeError(ConfigError, TypeError):
    """What was passed as a model is nothing that a model may be; the message says what may."""


class ResultError(ClipbenchError):
    """A result that cannot be written or read."""
