"""The D-Bus API: contract, dispatcher and one thin class per topic.

How a topic plugs in. `dbus-interfaces/*.xml` declares every member of both API generations. `managers/<topic>.py` holds a plain class, a
*part*, whose public methods bear D-Bus names and take the D-Bus arguments by position::

    class ContactsPart:
        def __init__(self, accounts: Accounts) -> None: ...

        def getContacts(self, account_id: str) -> list[dict[str, str]]:       # aa{ss}
            return [...]

        async def exportToFile(self, account_id: str, path: str, *secret: str) -> bool:   # sss of 13.7.0 and ssss of 17
            password = secret[-1]
            ...

`app/wiring.py` gathers parts into interfaces and serves them::

    BusService(address, [Interface("ConfigurationManager", parts=[ContactsPart(accounts), ...]), ...], events, api_level="both")

Rules for parts:

- return plain Python: str, int, float, bool, bytes for `ay`, list, dict, a sequence when there are several results; nothing for void;
- raise `NotFoundError` for an unknown id (the caller gets the neutral value of the result), `LocalError` for what the caller did wrong
  (he gets `cx.ring.Ring.Error.Failed` with its text); anything else is logged with its traceback and answered as an internal error;
- sync methods must not block; async ones may take as long as they like, they delay nobody;
- to send a signal, publish its event (`jamid.core.signals`). Those published while a call is handled leave after its reply;
- what begins with an underscore is private; every other method must be in the contract;
- who calls: `jamid.bus.publisher.current_call.get().sender`.
"""
