package producer

import "strings"

// configOthers are the properties of other programs that share files with a producer. Names are separated by spaces; a
// name with a dot at its end is a prefix. Names of security settings (security., sasl., ssl.) and of a producer inside
// another program (producer., spring.kafka.) are missing on purpose: they concern this producer, so they remain errors.
var configOthers = [...]struct{ owner, names string }{
	{"consumer", `
		auto.commit.interval.ms auto.offset.reset check.crcs default.api.timeout.ms enable.auto.commit exclude.internal.topics
		fetch.max.bytes fetch.max.wait.ms fetch.min.bytes group.id group.instance.id group.protocol group.remote.assignor
		heartbeat.interval.ms internal.leave.group.on.close internal.throw.on.fetch.stable.offset.unsupported isolation.level
		key.deserializer max.partition.fetch.bytes max.poll.interval.ms max.poll.records partition.assignment.strategy
		session.timeout.ms share.acknowledgement.mode share.acquire.mode value.deserializer consumer.`},
	{"admin client", `bootstrap.controllers admin.`},
	{"Streams", `
		acceptable.recovery.lag allow.os.group.write.access application.id application.server buffered.records.per.partition
		built.in.metrics.version cache.max.bytes.buffering commit.interval.ms default.client.supplier
		default.deserialization.exception.handler default.dsl.store default.key.serde default.list.key.serde.inner
		default.list.key.serde.type default.list.value.serde.inner default.list.value.serde.type
		default.production.exception.handler default.timestamp.extractor default.value.serde
		default.windowed.key.serde.inner default.windowed.value.serde.inner deserialization.exception.handler
		dsl.store.format dsl.store.suppliers.class ensure.explicit.internal.resource.naming
		errors.dead.letter.queue.topic.name log.summary.interval.ms max.task.idle.ms max.warmup.replicas num.standby.replicas
		num.stream.threads poll.ms probing.rebalance.interval.ms processing.exception.handler
		processing.exception.handler.global.enabled processing.guarantee processor.wrapper.class production.exception.handler
		rack.aware.assignment.non_overlap_cost rack.aware.assignment.strategy rack.aware.assignment.tags
		rack.aware.assignment.traffic_cost repartition.purge.interval.ms replication.factor rocksdb.config.setter
		state.cleanup.delay.ms state.cleanup.dir.max.age.ms state.dir statestore.cache.max.bytes task.assignor.class
		task.timeout.ms topology.optimization upgrade.from window.size.ms windowed.inner.class.serde
		windowstore.changelog.additional.retention.ms main.consumer. restore.consumer. global.consumer.`},
	{"Connect", `
		access.control.allow.methods access.control.allow.origin config.storage. connect.protocol
		connector.client.config.override.policy exactly.once.source.support header.converter header.converter.
		inter.worker.key.generation.algorithm inter.worker.key.size inter.worker.key.ttl.ms
		inter.worker.signature.algorithm inter.worker.verification.algorithms internal.key.converter
		internal.key.converter. internal.value.converter internal.value.converter. key.converter key.converter. listeners
		listeners.https. offset.flush.interval.ms offset.flush.timeout.ms offset.storage. plugin.discovery plugin.path
		rebalance.timeout.ms response.http.headers.config rest.advertised.host.name rest.advertised.listener
		rest.advertised.port rest.extension.classes rest.host.name rest.port scheduled.rebalance.max.delay.ms
		status.storage. task.shutdown.graceful.timeout.ms topic.creation.enable topic.tracking.allow.reset
		topic.tracking.enable value.converter value.converter. worker.sync.timeout.ms worker.unsync.backoff.ms`},
	{"schema registry client", `
		schema.registry. basic.auth. bearer.auth. apicurio. avro. json. protobuf. auto.register.schemas context.name.strategy
		derive.type http.connect.timeout.ms http.read.timeout.ms id.compatibility.strict key.schema.id.deserializer
		key.schema.id.serializer key.subject.name.strategy latest.cache.size latest.cache.ttl.sec latest.compatibility.strict
		max.schemas.per.subject missing.cache.size missing.id.cache.ttl.sec missing.schema.cache.ttl.sec
		missing.version.cache.ttl.sec normalize.schemas propagate.schema.tags proxy.host proxy.port reference.lookup.only
		reference.subject.name.strategy retries.max.wait.ms retries.wait.ms rule.actions rule.actions. rule.executors
		rule.executors. rule.service.loader.enable schema.format schema.reflection skip.known.types specific.avro.reader
		specific.protobuf.key.type specific.protobuf.value.type use.latest.version use.latest.with.metadata use.schema.id
		value.schema.id.deserializer value.schema.id.serializer value.subject.name.strategy write.dates.iso8601`},
	{"Confluent Platform", `confluent.`},
	{"Spring's serializers", `spring.deserializer. spring.json. spring.message.`},
}

// configOwnerOf returns the program of a property, or "" if the property is not in configOthers.
func configOwnerOf(name string) string {
	for i := range configOthers {
		for known := range strings.FieldsSeq(configOthers[i].names) {
			if configNameMatches(known, name) {
				return configOthers[i].owner
			}
		}
	}
	return ""
}

// configOtherNames are the full names among configOthers, without the prefixes.
func configOtherNames() []string {
	var names []string
	for i := range configOthers {
		for known := range strings.FieldsSeq(configOthers[i].names) {
			if !strings.HasSuffix(known, ".") {
				names = append(names, known)
			}
		}
	}
	return names
}

// configOthersNotice names the properties of other programs, each with its program. It shows no value: that may be a
// secret.
func configOthersNotice(names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + " (" + configOwnerOf(name) + ")"
	}
	return "these properties belong to other programs and are ignored: " + strings.Join(parts, ", ")
}
