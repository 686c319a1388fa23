"""The path of conversions, and their names, before version 1.17."""

from flwr.compat.bridge import arrayrecord_to_parameters as parametersrecord_to_parameters
from flwr.compat.bridge import evaluateins_to_recorddict as evaluateins_to_recordset
from flwr.compat.bridge import evaluateres_to_recorddict as evaluateres_to_recordset
from flwr.compat.bridge import fitins_to_recorddict as fitins_to_recordset
from flwr.compat.bridge import fitres_to_recorddict as fitres_to_recordset
from flwr.compat.bridge import getparametersins_to_recorddict as getparametersins_to_recordset
from flwr.compat.bridge import getparametersres_to_recorddict as getparametersres_to_recordset
from flwr.compat.bridge import getpropertiesins_to_recorddict as getpropertiesins_to_recordset
from flwr.compat.bridge import getpropertiesres_to_recorddict as getpropertiesres_to_recordset
from flwr.compat.bridge import parameters_to_arrayrecord as parameters_to_parametersrecord
from flwr.compat.bridge import recorddict_to_evaluateins as recordset_to_evaluateins
from flwr.compat.bridge import recorddict_to_evaluateres as recordset_to_evaluateres
from flwr.compat.bridge import recorddict_to_fitins as recordset_to_fitins
from flwr.compat.bridge import recorddict_to_fitres as recordset_to_fitres
from flwr.compat.bridge import recorddict_to_getparametersins as recordset_to_getparametersins
from flwr.compat.bridge import recorddict_to_getparametersres as recordset_to_getparametersres
from flwr.compat.bridge import recorddict_to_getpropertiesins as recordset_to_getpropertiesins
from flwr.compat.bridge import recorddict_to_getpropertiesres as recordset_to_getpropertiesres

__all__ = [
    "evaluateins_to_recordset",
    "evaluateres_to_recordset",
    "fitins_to_recordset",
    "fitres_to_recordset",
    "getparametersins_to_recordset",
    "getparametersres_to_recordset",
    "getpropertiesins_to_recordset",
    "getpropertiesres_to_recordset",
    "parameters_to_parametersrecord",
    "parametersrecord_to_parameters",
    "recordset_to_evaluateins",
    "recordset_to_evaluateres",
    "recordset_to_fitins",
    "recordset_to_fitres",
    "recordset_to_getparametersins",
    "recordset_to_getparametersres",
    "recordset_to_getpropertiesins",
    "recordset_to_getpropertiesres",
]
