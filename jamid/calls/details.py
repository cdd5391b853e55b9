"""What getCallDetails answers (protocol: calls, section 11.2)."""

from __future__ import annotations

from jamid.calls.call import Call
from jamid.calls.media_maps import MediaType, is_audio_only
from jamid.core.generations import Generation

_INCOMING, _OUTGOING, _MISSED = "0", "1", "2"


def call_details(call: Call) -> dict[str, str]:
    """The map of a call, with the keys of both generations."""
    audio = next((each for each in call.sound.agreed if each.kind is MediaType.AUDIO), None)
    started = call.created_at if call.around.generation is Generation.G17 else call.answered_at or 0
    details = {
        "ACCOUNTID": call.account.id,
        "AUDIO_CODEC": audio.format.encoding if audio is not None else "",
        "AUDIO_MUTED": _word(call.muted(MediaType.AUDIO)),
        "AUDIO_ONLY": _word(is_audio_only(call.media)),
        "AUDIO_SAMPLE_RATE": _sample_rate(audio.format.encoding, audio.format.clock_rate) if audio is not None else "",
        "CALL_STATE": call.word,
        "CALL_TYPE": _type(call),
        "CONF_ID": call.conference,
        "DISPLAY_NAME": call.peer_name,
        "PEER_HOLD": _word(call.peer_holds),
        "PEER_HOLDING": _word(call.peer_holds),
        "PEER_NUMBER": call.peer_number,
        "TIMESTAMP_START": str(int(started)),
        "TO_USERNAME": call.to_username,
        "VIDEO_MUTED": _word(call.muted(MediaType.VIDEO)),
    }
    if not is_audio_only(call.media):
        video = next(each for each in call.media if each.kind is MediaType.VIDEO)
        details |= {
            "VIDEO_SOURCE": video.source,
            "VIDEO_CODEC": "",
            "VIDEO_BITRATE": "800",
            "VIDEO_MIN_BITRATE": "200",
            "VIDEO_MAX_BITRATE": "6000",
        }
    if call.registered_name:
        details["REGISTERED_NAME"] = call.registered_name
    sockets = _sockets(call)
    if sockets:
        details["SOCKETS"] = sockets
    return details


def _type(call: Call) -> str:
    if not call.incoming:
        return _OUTGOING
    return _MISSED if call.over and call.answered_at is None else _INCOMING


def _sockets(call: Call) -> str:
    arrow = "↔" if call.around.generation is Generation.G17 else "<->"
    return "".join(f" [{(component + 1) // 2}] {local}  {arrow} {remote} \n" for component, local, remote in call.sound.pairs())


def _sample_rate(encoding: str, clock_rate: int) -> str:
    return "16000" if encoding.upper() == "G722" else str(clock_rate)


def _word(flag: bool) -> str:
    return "true" if flag else "false"
