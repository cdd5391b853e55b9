"""Audio and video: what happens to sound and pictures between a device or file and a UDP packet.

The seam for calls is `jamid.media.service.Media` (one per process) and the `AudioStream` it opens for each negotiated audio line::

    media.prepare()                                   # when a call starts ringing: thread and libraries come up meanwhile
    stream = media.open_stream(                       # when SDP and ICE are done
        AudioParameters(stream_id=f"{call_id}_audio_0", codec="opus", clock_rate=48000, payload_type=104,
                        telephone_event=101, keys=SrtpKeys(local=our_key, remote=peer_key, suite=suite), source=""),
        component_1.send, component_2.send, on_first_packet=..., on_dtmf=...)
    component_1.on_data = stream.receive_rtp          # cheap, from any thread
    component_2.on_data = stream.receive_rtcp
    stream.set_muted(True); stream.set_held(True); stream.send_dtmf("5"); stream.set_source("file:///a.wav")
    stream.join("conference id"); stream.leave()      # who is mixed with whom
    stream.statistics(); await stream.close()

Every callback runs on the main loop. Packets cross between the threads in two ways that cost nothing per packet: received ones wait
in a deque for the media thread's next 20 ms tick; sent ones of all streams of a tick are handed to the main loop in one wake-up, or,
when the caller says `thread_safe=True`, are sent by the media thread itself.
"""
