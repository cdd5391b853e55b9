"""Audio and video: RTP, SRTP, codecs, devices, mixing, recording and tones."""
