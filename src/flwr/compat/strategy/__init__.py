"""The strategies of the legacy API, as adapters on the reducers and server steps below."""
