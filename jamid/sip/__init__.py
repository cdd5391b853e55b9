"""SIP and SDP: messages, transactions, dialogs and their transports."""
