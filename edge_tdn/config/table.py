"""The base of the tables of a configuration."""

from pydantic import BaseModel, ConfigDict

from edge_tdn.config.fault import ConfigFile, Keys


class ConfigTable(BaseModel):
    """A table: frozen, without keys that are not declared, and with the types exactly as declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    _file: ConfigFile = ConfigFile()

    def fault(self, keys: Keys, value: object, message: str) -> str:
        """Describe a value that only the model or the machine shows to be wrong, in the form of errors from `load`."""
        return self._file.fault(keys, value, message)
