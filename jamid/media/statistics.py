"""Figures of one stream, as D-Bus, the log and the call's history want them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioStatistics:
    """A snapshot of one audio stream."""

    packets_sent: int = 0
    octets_sent: int = 0
    packets_received: int = 0
    octets_received: int = 0
    packets_lost: int = 0
    """Gaps in the peer's numbering (RFC 3550, appendix A.3)."""
    packets_late: int = 0
    """Came after their turn, or twice."""
    packets_refused: int = 0
    """Not authentic, replayed, of an unknown payload or not RTP at all."""
    frames_concealed: int = 0
    frames_recovered: int = 0
    """Lost ones that forward error correction brought back."""
    loss_percent: float = 0.0
    """Of what we should have received, since the start."""
    peer_loss_percent: float = 0.0
    """Of what the peer should have received, from its last report."""
    jitter_ms: float = 0.0
    round_trip_ms: float = 0.0
    """0 until a report of the peer allowed to measure it."""
    buffer_ms: float = 0.0
    """Sound waiting in the jitter buffer."""
    bitrate_sent: int = 0
    """Bit/s of RTP over the last second."""
    bitrate_received: int = 0

    def as_report(self) -> dict[str, int]:
        """As the D-Bus signal onRtcpReportReceived carries figures: whole numbers."""
        return {
            "PACKET_LOSS": round(self.peer_loss_percent),
            "PACKET_COUNT": self.packets_sent,
            "CUMUL_LOSS": self.packets_lost,
            "LATENCY": round(self.round_trip_ms),
            "JITTER": round(self.jitter_ms),
            "LOSS": round(self.loss_percent),
            "BITRATE_SENT": self.bitrate_sent,
            "BITRATE_RECEIVED": self.bitrate_received,
        }

    def __str__(self) -> str:
        return (
            f"sent {self.packets_sent} packets ({self.bitrate_sent / 1000:.0f} kbit/s, peer lost {self.peer_loss_percent:.1f} %), "
            f"received {self.packets_received} ({self.bitrate_received / 1000:.0f} kbit/s, lost {self.packets_lost}, "
            f"late {self.packets_late}, refused {self.packets_refused}, "
            f"concealed {self.frames_concealed}, recovered {self.frames_recovered}), "
            f"jitter {self.jitter_ms:.1f} ms, buffer {self.buffer_ms:.0f} ms, round trip {self.round_trip_ms:.0f} ms"
        )
