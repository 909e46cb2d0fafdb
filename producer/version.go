package producer

// Version is the library's version. Brokers see it, with the name samsa, in their metrics (KIP-511).
const Version = "0.1.0"

const softwareName = "samsa"
