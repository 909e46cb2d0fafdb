package producer

// Version is the library's version. The client sends it with the name samsa to the brokers, for their metrics
// (KIP-511).
const Version = "0.1.0"

const softwareName = "samsa"
