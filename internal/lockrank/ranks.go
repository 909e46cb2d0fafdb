// Package lockrank asserts the order of the library's locks. In the race build a [Mutex] panics when a goroutine
// acquires it under a lock that must come later; in every other build it is a sync.Mutex, at the same size and cost.
// The order is the table in this file; ARCHITECTURE.md ("Locks") shows it, and a test compares the two.
package lockrank

// Rank is one row of the table of locks.
type Rank interface{ row() Row }

// Row is the position of a lock. Level is its line in ARCHITECTURE.md: a lock comes after all locks of smaller levels.
// Locks of one level are never held together, unless both have a step: then the smaller step comes first.
type Row struct {
	Name        string
	Level, Step int
}

// The ranks, outermost first. The name of a type is that of the lock.
type (
	// AccumulatorReason is Accumulator.reason.mu.
	AccumulatorReason struct{}
	// ProducerTopics is producer.Producer.topicsMu.
	ProducerTopics struct{}
	// AccumulatorTopics is accumulator.Accumulator.topicsMu.
	AccumulatorTopics struct{}
	// AccumulatorTopic is accumulator.Topic.mu.
	AccumulatorTopic struct{}
	// SenderPartition is sender.partition.mu.
	SenderPartition struct{}
	// AccumulatorPartition is accumulator.Partition.mu.
	AccumulatorPartition struct{}
	// SenderIdentities is sender.identities.mu.
	SenderIdentities struct{}
	// Sender is sender.Sender.mu.
	Sender struct{}
	// SenderBroker is sender.broker.mu.
	SenderBroker struct{}
	// SenderWorkers is sender.workers.mu.
	SenderWorkers struct{}
	// AccumulatorResult is accumulator.Result.mu.
	AccumulatorResult struct{}
	// AccumulatorActive is accumulator.Accumulator.activeMu.
	AccumulatorActive struct{}
	// AccumulatorReports is accumulator.pendingReports.mu.
	AccumulatorReports struct{}
	// AccumulatorRefusals is accumulator.refusals.mu.
	AccumulatorRefusals struct{}
	// AccumulatorMemory is accumulator.memory.mu.
	AccumulatorMemory struct{}
	// AccumulatorPeriods is accumulator.periods.mu.
	AccumulatorPeriods struct{}
	// AccumulatorUnsent is accumulator.unsentLimiter.mu.
	AccumulatorUnsent struct{}
	// ClusterClient is cluster.Client.mu.
	ClusterClient struct{}
	// TransportConn is transport.Conn.mu.
	TransportConn struct{}
	// TransportUserConn is transport.userConn.mu.
	TransportUserConn struct{}
	// TransportHistory is transport.History.mu.
	TransportHistory struct{}
	// TransportUserCalls is transport.UserCalls.mu.
	TransportUserCalls struct{}
	// TransportVersions is transport.VersionMemory.mu.
	TransportVersions struct{}
	// LogGate is loggate.Gate.mu.
	LogGate struct{}
	// ProducerCloser is producer.closer.mu.
	ProducerCloser struct{}
	// ProducerRoom is producer.roomWatch.mu.
	ProducerRoom struct{}
	// ProducerWaiting is producer.waitingCalls.mu.
	ProducerWaiting struct{}
)

func (AccumulatorReason) row() Row    { return Row{"Accumulator.reason.mu", 1, 0} }
func (ProducerTopics) row() Row       { return Row{"Producer.topicsMu", 2, 0} }
func (AccumulatorTopics) row() Row    { return Row{"Accumulator.topicsMu", 3, 0} }
func (AccumulatorTopic) row() Row     { return Row{"accumulator.Topic.mu", 4, 0} }
func (SenderPartition) row() Row      { return Row{"sender.partition.mu", 5, 0} }
func (AccumulatorPartition) row() Row { return Row{"accumulator.Partition.mu", 6, 0} }
func (SenderIdentities) row() Row     { return Row{"sender.identities.mu", 7, 1} }
func (Sender) row() Row               { return Row{"Sender.mu", 7, 2} }
func (SenderBroker) row() Row         { return Row{"sender.broker.mu", 7, 3} }
func (SenderWorkers) row() Row        { return Row{"sender.workers.mu", 7, 0} }
func (AccumulatorResult) row() Row    { return Row{"Result.mu", 7, 0} }
func (AccumulatorActive) row() Row    { return Row{"Accumulator.activeMu", 7, 0} }
func (AccumulatorReports) row() Row   { return Row{"pendingReports.mu", 7, 0} }
func (AccumulatorRefusals) row() Row  { return Row{"refusals.mu", 7, 0} }
func (AccumulatorMemory) row() Row    { return Row{"memory.mu", 7, 0} }
func (AccumulatorPeriods) row() Row   { return Row{"periods.mu", 7, 0} }
func (AccumulatorUnsent) row() Row    { return Row{"unsentLimiter.mu", 7, 0} }
func (ClusterClient) row() Row        { return Row{"cluster.Client.mu", 8, 0} }
func (TransportConn) row() Row        { return Row{"transport.Conn.mu", 9, 0} }
func (TransportUserConn) row() Row    { return Row{"userConn.mu", 10, 0} }
func (TransportHistory) row() Row     { return Row{"transport.History.mu", 10, 0} }
func (TransportUserCalls) row() Row   { return Row{"transport.UserCalls.mu", 10, 0} }
func (TransportVersions) row() Row    { return Row{"transport.VersionMemory.mu", 10, 0} }
func (LogGate) row() Row              { return Row{"loggate.Gate.mu", 10, 0} }
func (ProducerCloser) row() Row       { return Row{"closer.mu", 10, 0} }
func (ProducerRoom) row() Row         { return Row{"roomWatch.mu", 10, 0} }
func (ProducerWaiting) row() Row      { return Row{"waitingCalls.mu", 10, 0} }

// Table is all ranks, outermost first.
var Table = []Row{
	AccumulatorReason{}.row(), ProducerTopics{}.row(), AccumulatorTopics{}.row(), AccumulatorTopic{}.row(),
	SenderPartition{}.row(), AccumulatorPartition{}.row(), SenderIdentities{}.row(), Sender{}.row(),
	SenderBroker{}.row(), SenderWorkers{}.row(), AccumulatorResult{}.row(), AccumulatorActive{}.row(),
	AccumulatorReports{}.row(), AccumulatorRefusals{}.row(), AccumulatorMemory{}.row(), AccumulatorPeriods{}.row(),
	AccumulatorUnsent{}.row(), ClusterClient{}.row(), TransportConn{}.row(), TransportUserConn{}.row(),
	TransportHistory{}.row(), TransportUserCalls{}.row(), TransportVersions{}.row(), LogGate{}.row(),
	ProducerCloser{}.row(), ProducerRoom{}.row(), ProducerWaiting{}.row(),
}

// mayFollow reports whether a lock of rank next may be acquired under one of rank held.
func mayFollow(held, next Row) bool {
	if held.Level != next.Level {
		return held.Level < next.Level
	}
	return held.Step > 0 && held.Step < next.Step
}
