package producer

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Validate reports all problems of the configuration at once: it checks each field against its range, and the rules
// across fields. The error joins a *[ConfigError] for each problem. If the Config did not start from [DefaultConfig] or
// a similar function, most fields that need a value are zero; then the error reports only this mistake. New calls
// Validate.
func (c Config) Validate() error {
	if e := c.notFromDefault(); e != nil {
		return configProblems{e}
	}
	return c.problems(map[string]bool{}).err()
}

// notFromDefault returns a problem if at least half of the fields that refuse zero are zero. A user who starts from a
// default sets few of them to zero; a user who starts from Config{} fills few of them.
func (c *Config) notFromDefault() *ConfigError {
	var zero Config
	var missing []string
	needed := 0
	for i := range configOptions {
		o := &configOptions[i]
		if o.problem(&zero) == "" {
			continue
		}
		needed++
		if o.text(c) == o.text(&zero) {
			missing = append(missing, o.field)
		}
	}
	if 2*len(missing) < needed {
		return nil
	}
	return &ConfigError{Problem: fmt.Sprintf("%d fields of the Config that need a value are zero, such as %s: "+
		"start from DefaultConfig(servers...) and change its fields", len(missing), missing[0])}
}

const configNoServers = "name at least one server, as host:port"

// problems finds all problems. A field in blamed already has a problem, so problems skips this field and every rule
// about it.
func (c *Config) problems(blamed map[string]bool) configProblems {
	var problems configProblems
	blame := func(e *ConfigError) {
		blamed[e.Field] = true
		problems = append(problems, e)
	}
	for i := range configOptions {
		o := &configOptions[i]
		if blamed[o.field] {
			continue
		}
		if problem := o.problem(c); problem != "" {
			blame(&ConfigError{Property: o.property, Field: o.field, Value: o.text(c), Problem: problem})
		}
	}
	if !blamed["BootstrapServers"] {
		problems = append(problems, configServerProblems(c.BootstrapServers)...)
	}
	for i, interceptor := range c.Interceptors {
		if interceptor == nil {
			problems = append(problems, &ConfigError{Field: "Interceptors",
				Problem: fmt.Sprintf("interceptor %d is nil", i)})
		}
	}
	if c.CompressionWorkers < 0 {
		value := strconv.Itoa(c.CompressionWorkers)
		problems = append(problems, &ConfigError{Field: "CompressionWorkers", Value: value,
			Problem: "not in the range 0 or more"})
	}
	for i := range configRules {
		rule := &configRules[i]
		if !rule.concerns(blamed) && rule.broken(c) {
			o := configOptionOfField(rule.fields[0])
			problems = append(problems, &ConfigError{Property: o.property, Field: o.field, Value: o.text(c),
				Problem: rule.wrong(c) + "; " + rule.cure})
		}
	}
	return problems
}

// configRule is a rule across fields.
type configRule struct {
	fields []string // its fields; the problem names the first
	broken func(*Config) bool
	wrong  func(*Config) string // returns the problem of the first field, with the other fields' values
	cure   string
	// yields are the defaults that properties may override. If the rule is broken, the first default without a property
	// changes.
	yields []configYield
}

type configYield struct {
	field string
	wrong func(*Config) string // returns the problem of its default
	yield func(*Config)
}

func (r *configRule) concerns(fields map[string]bool) bool {
	for _, f := range r.fields {
		if fields[f] {
			return true
		}
	}
	return false
}

// configRules are the rules across fields.
var configRules = [...]configRule{
	configRuleDelivery(),
	configRuleBatch("MaxRequestSize", "raise MaxRequestSize as far as the brokers' message.max.bytes allows",
		func(c *Config) int64 {
			return int64(c.MaxRequestSize)
		}),
	configRuleBatch("BufferMemory", "raise BufferMemory", func(c *Config) int64 { return c.BufferMemory }),
	configRuleUpTo("RetryBackoff", "RetryBackoffMax", func(c *Config) (*time.Duration, *time.Duration) {
		return &c.RetryBackoff, &c.RetryBackoffMax
	}),
	configRuleUpTo("ReconnectBackoff", "ReconnectBackoffMax", func(c *Config) (*time.Duration, *time.Duration) {
		return &c.ReconnectBackoff, &c.ReconnectBackoffMax
	}),
	configRuleUpTo("SocketConnectionSetupTimeout",
		"SocketConnectionSetupTimeoutMax", func(c *Config) (*time.Duration, *time.Duration) {
			return &c.SocketConnectionSetupTimeout, &c.SocketConnectionSetupTimeoutMax
		}),
	configRuleIdempotence("Acks", "AcksAll (all)", func(c *Config) bool { return c.Acks == AcksAll }),
	configRuleIdempotence("Retries", "1 or more", func(c *Config) bool { return c.Retries > 0 }),
	configRuleIdempotence("MaxInFlight", "5 or less", func(c *Config) bool { return c.MaxInFlight <= 5 }),
}

// configRuleDelivery requires delivery.timeout.ms to cover linger.ms and request.timeout.ms.
func configRuleDelivery() configRule {
	wrong := func(c *Config) string {
		return fmt.Sprintf("is less than %s and %s together, %v and %v", configNames("Linger"),
			configNames("RequestTimeout"), c.Linger, c.RequestTimeout)
	}
	return configRule{
		fields: []string{"DeliveryTimeout", "Linger", "RequestTimeout"},
		broken: func(c *Config) bool { return c.DeliveryTimeout < configLeastDelivery(c) },
		wrong:  wrong,
		cure:   "raise it, or lower these",
		yields: []configYield{{"DeliveryTimeout", wrong,
			func(c *Config) { c.DeliveryTimeout = configLeastDelivery(c) }}},
	}
}

// configRuleBatch requires that batch.size does not exceed another field.
func configRuleBatch(field, cure string, size func(*Config) int64) configRule {
	wrong := func(c *Config) string { return fmt.Sprintf("is more than %s, %d", configNames(field), size(c)) }
	return configRule{
		fields: []string{"BatchSize", field},
		broken: func(c *Config) bool { return int64(c.BatchSize) > size(c) },
		wrong:  wrong,
		cure:   "lower it, or " + cure,
		yields: []configYield{{"BatchSize", wrong, func(c *Config) { c.BatchSize = int(size(c)) }}},
	}
}

// configLeastDelivery is the least delivery.timeout.ms beside linger.ms and request.timeout.ms. As in the Java client,
// it does not exceed the range of delivery.timeout.ms.
func configLeastDelivery(c *Config) time.Duration {
	most := configMillis(configMaxInt)
	if c.Linger > most-c.RequestTimeout {
		return most
	}
	return c.Linger + c.RequestTimeout
}

// configRuleUpTo requires that a first wait does not exceed its maximum.
func configRuleUpTo(field, top string, both func(*Config) (wait, most *time.Duration)) configRule {
	wrong := func(c *Config) string {
		_, most := both(c)
		return fmt.Sprintf("is more than %s, %v", configNames(top), *most)
	}
	topWrong := func(c *Config) string {
		wait, _ := both(c)
		return fmt.Sprintf("is less than %s, %v", configNames(field), *wait)
	}
	return configRule{
		fields: []string{field, top},
		broken: func(c *Config) bool { wait, most := both(c); return *wait > *most },
		wrong:  wrong,
		cure:   "lower it, or raise " + top,
		yields: []configYield{
			{top, topWrong, func(c *Config) { wait, most := both(c); *most = *wait }},
			{field, wrong, func(c *Config) { wait, most := both(c); *wait = *most }},
		},
	}
}

// configRuleIdempotence returns a rule that idempotence needs.
func configRuleIdempotence(field, needs string, met func(*Config) bool) configRule {
	wrong := func(c *Config) string {
		return fmt.Sprintf("needs %s to be %s, but it is %s", configNames(field), needs,
			configOptionOfField(field).text(c))
	}
	return configRule{
		fields: []string{"EnableIdempotence", field},
		broken: func(c *Config) bool { return c.EnableIdempotence && !met(c) },
		wrong:  wrong,
		cure:   fmt.Sprintf("set %s so, or EnableIdempotence to false", field),
		yields: []configYield{{"EnableIdempotence", wrong, func(c *Config) { c.EnableIdempotence = false }}},
	}
}

// configNames returns the property and the field's name.
func configNames(field string) string {
	return field + " (" + configOptionOfField(field).property + ")"
}

// configOptionOfField finds a field in the table; every field of a rule is there.
func configOptionOfField(field string) *configOption {
	for i := range configOptions {
		if configOptions[i].field == field {
			return &configOptions[i]
		}
	}
	return nil
}

// configGiveWay changes defaults if properties break a rule, and adds a warning for each change. Fields in written come
// from properties and keep their values.
func configGiveWay(c *Config, written, blamed map[string]bool) {
	for i := range configRules {
		rule := &configRules[i]
		if rule.concerns(blamed) || !rule.broken(c) {
			continue
		}
		for _, y := range rule.yields {
			if written[y.field] {
				continue
			}
			o := configOptionOfField(y.field)
			before, wrong := o.text(c), y.wrong(c)
			y.yield(c)
			c.adjusted = append(c.adjusted, fmt.Sprintf("%s was not written and is now %s: its default %s %s",
				o.property, o.text(c), before, wrong))
			break
		}
	}
}

// configServerProblems judges the bootstrap servers one by one.
func configServerProblems(servers []string) configProblems {
	if len(servers) == 0 {
		return configProblems{configServerError("", configNoServers)}
	}
	var problems configProblems
	for _, server := range servers {
		if problem := configServerProblem(server); problem != "" {
			problems = append(problems, configServerError(server, problem))
		}
	}
	return problems
}

func configServerError(server, problem string) *ConfigError {
	return &ConfigError{Property: "bootstrap.servers", Field: "BootstrapServers", Value: server, Problem: problem}
}

// configServerProblem returns the problem of one server, with the cure for the usual slips.
func configServerProblem(server string) string {
	if server == "" {
		return "an empty name in the list: write host:port, and one comma between two servers"
	}
	switch {
	case strings.Contains(server, "${"):
		return configNoPlaceholder
	case strings.Contains(server, "#"):
		return configNoComment
	case strings.ContainsAny(server, configQuotes):
		return configNoQuotes
	}
	if scheme, _, found := strings.Cut(server, "://"); found {
		problem := "write host:port, without " + scheme + "://"
		switch strings.ToUpper(scheme) {
		case "SSL":
			problem += "; the connection is plaintext then: for TLS, set Config.Dialer"
		case "SASL_SSL", "SASL_PLAINTEXT":
			problem += "; SASL is not implemented"
		}
		return problem
	}
	if strings.Contains(server, ",") {
		return "several servers in one text: name them one by one"
	}
	if first, _, found := strings.Cut(server, ";"); found {
		return configCommasProblem(first, ";")
	}
	if parts := strings.Fields(server); len(parts) > 1 && strings.Contains(parts[0], ":") {
		return configCommasProblem(parts[0], " ")
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return configNoPortProblem(server)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "the port is not in the range 1 to 65535"
	}
	if strings.HasPrefix(server, "[") {
		if addr, err := netip.ParseAddr(host); err != nil || addr.Is4() {
			return "no IPv6 address stands in the brackets"
		}
		return ""
	}
	return configHostProblem(host)
}

func configCommasProblem(first, separator string) string {
	return fmt.Sprintf("a list with %q after %s: separate servers with commas", separator, configQuote(first))
}

// configNoPortProblem explains a server without a separable host and port.
func configNoPortProblem(server string) string {
	if bare := strings.Trim(server, "[]"); server == "["+bare+"]" {
		return "not host:port: the port is missing, as in [::1]:9092"
	}
	if configLooksLikeIPv6(server) {
		return "write an IPv6 address in brackets: [::1]:9092"
	}
	return "not host:port, such as localhost:9092"
}

// configLooksLikeIPv6 reports whether a text has the characters of an IPv6 address, its zone aside, but no brackets.
func configLooksLikeIPv6(server string) bool {
	address, _, _ := strings.Cut(server, "%")
	return (strings.Contains(address, "::") || strings.Count(address, ":") >= 7) &&
		strings.Trim(address, "0123456789abcdefABCDEF:.") == ""
}

// configHostProblem checks the characters of a host name or an IPv4 address, not its existence.
func configHostProblem(host string) string {
	if host == "" {
		return "no host before the port"
	}
	for _, r := range host {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			return fmt.Sprintf("a host name has no %q", r)
		}
	}
	return ""
}
