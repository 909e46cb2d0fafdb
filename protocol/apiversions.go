package protocol

// ApiVersionsRequest asks a broker for its APIs and their versions. This package speaks it in versions 0 to 4; 3 is
// flexible and adds both fields (KIP-511).
type ApiVersionsRequest struct {
	// SoftwareName and SoftwareVersion describe the client to the broker. They consist of letters, digits, '-' and '.',
	// and begin and end with a letter or digit, or the broker answers INVALID_REQUEST. Versions below 3 do not carry
	// them.
	SoftwareName    string
	SoftwareVersion string
}

// Key returns ApiVersions.
func (*ApiVersionsRequest) Key() APIKey { return ApiVersions }

// Append appends the request's body.
func (m *ApiVersionsRequest) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, ApiVersions, version)
	if version >= 3 {
		w.string(m.SoftwareName)
		w.string(m.SoftwareVersion)
	}
	w.noTags()
	return w.finish("request")
}

// Decode fills the request from a body.
func (m *ApiVersionsRequest) Decode(body []byte, version int16) error {
	r := newReader(body, ApiVersions, version)
	if version >= 3 {
		m.SoftwareName = r.string(m.SoftwareName)
		m.SoftwareVersion = r.string(m.SoftwareVersion)
	} else {
		m.SoftwareName, m.SoftwareVersion = "", ""
	}
	r.skipTags()
	return r.finish("request")
}

// ApiVersionsResponse lists a broker's APIs and their versions. This package speaks it in versions 0 to 4:
//
//   - 1 adds ThrottleMs
//   - 3 is flexible and adds the features (KIP-584)
//   - 4 can list features with 0 as their lowest version
//
// A broker answers an unsupported version with UNSUPPORTED_VERSION in version 0, so every client can read the answer;
// APIs then holds its range of ApiVersions (nothing before Kafka 2.4). Decode and Append do likewise: with this code
// the body has version 0, regardless of the version argument.
type ApiVersionsResponse struct {
	ErrorCode ErrorCode
	APIs      []APIVersion
	// ThrottleMs is how long the client shall send nothing, in milliseconds.
	ThrottleMs int32
	// SupportedFeatures are the broker's features.
	SupportedFeatures []SupportedFeature
	// FinalizedFeaturesEpoch grows with FinalizedFeatures; -1 means unknown.
	FinalizedFeaturesEpoch int64
	// FinalizedFeatures are the features in use in the cluster.
	FinalizedFeatures []FinalizedFeature
	// ZkMigrationReady is said by controllers only.
	ZkMigrationReady bool
}

// APIVersion is the range of versions of one API.
type APIVersion struct {
	Key      APIKey
	Min, Max int16
}

// SupportedFeature is a feature with the range of levels supported by a broker.
type SupportedFeature struct {
	Name     string
	Min, Max int16
}

// FinalizedFeature is a feature with the range of levels agreed on in the cluster.
type FinalizedFeature struct {
	Name     string
	Max, Min int16
}

// Key returns ApiVersions.
func (*ApiVersionsResponse) Key() APIKey { return ApiVersions }

// Range returns the broker's versions of an API; ok is false when it does not speak it.
func (m *ApiVersionsResponse) Range(key APIKey) (versions VersionRange, ok bool) {
	for _, a := range m.APIs {
		if a.Key == key {
			return VersionRange{a.Min, a.Max}, true
		}
	}
	return VersionRange{}, false
}

// Append appends the response's body.
func (m *ApiVersionsResponse) Append(dst []byte, version int16) ([]byte, error) {
	if m.ErrorCode == UnsupportedVersion {
		version = 0
	}
	w := newWriter(dst, ApiVersions, version)
	w.errorCode(m.ErrorCode)
	w.arrayLen(len(m.APIs))
	for _, a := range m.APIs {
		w.int16(int16(a.Key))
		w.int16(a.Min)
		w.int16(a.Max)
		w.noTags()
	}
	if version >= 1 {
		w.int32(m.ThrottleMs)
	}
	if version >= 3 {
		m.appendTags(&w)
	}
	return w.finish("response")
}

// appendTags writes the tagged fields with values other than their defaults.
func (m *ApiVersionsResponse) appendTags(w *writer) {
	supported, epoch := len(m.SupportedFeatures) > 0, m.FinalizedFeaturesEpoch != -1
	finalized := len(m.FinalizedFeatures) > 0
	count := uint32(0)
	for _, there := range []bool{supported, epoch, finalized, m.ZkMigrationReady} {
		if there {
			count++
		}
	}
	w.uvarint(count)
	if supported {
		begin := w.tag(0)
		w.arrayLen(len(m.SupportedFeatures))
		for _, f := range m.SupportedFeatures {
			w.string(f.Name)
			w.int16(f.Min)
			w.int16(f.Max)
			w.noTags()
		}
		w.endTag(begin)
	}
	if epoch {
		begin := w.tag(1)
		w.int64(m.FinalizedFeaturesEpoch)
		w.endTag(begin)
	}
	if finalized {
		begin := w.tag(2)
		w.arrayLen(len(m.FinalizedFeatures))
		for _, f := range m.FinalizedFeatures {
			w.string(f.Name)
			w.int16(f.Max)
			w.int16(f.Min)
			w.noTags()
		}
		w.endTag(begin)
	}
	if m.ZkMigrationReady {
		begin := w.tag(3)
		w.bool(true)
		w.endTag(begin)
	}
}

// mostAPIs and mostFeatures bound an ApiVersionsResponse, the first message from an unknown server. Kafka 4.3 has fewer
// than 100 APIs and 10 features.
const (
	mostAPIs     = 1000
	mostFeatures = 1000
)

// Decode fills the response from a body. A response with more than 1000 APIs, or 1000 features of a kind, is malformed.
func (m *ApiVersionsResponse) Decode(body []byte, version int16) error {
	if len(body) >= 2 && ErrorCode(int16(body[0])<<8|int16(body[1])) == UnsupportedVersion {
		version = 0
	}
	r := newReader(body, ApiVersions, version)
	apis := mostAPIs
	m.ErrorCode = r.errorCode()
	m.APIs = resize(m.APIs, r.limitedLen(6, &apis, "APIs"))
	for i := range m.APIs {
		a := &m.APIs[i]
		a.Key = APIKey(r.int16())
		a.Min = r.int16()
		a.Max = r.int16()
		r.skipTags()
	}
	m.ThrottleMs = 0
	if version >= 1 {
		m.ThrottleMs = r.int32()
	}
	m.decodeTags(&r)
	return r.finish("response")
}

// decodeTags reads the tagged fields.
func (m *ApiVersionsResponse) decodeTags(r *reader) {
	m.SupportedFeatures, m.FinalizedFeatures = m.SupportedFeatures[:0], m.FinalizedFeatures[:0]
	m.FinalizedFeaturesEpoch, m.ZkMigrationReady = -1, false
	supported, finalized := mostFeatures, mostFeatures
	for n := r.tagCount(); n > 0; n-- {
		tag, field := r.tag()
		switch tag {
		case 0:
			m.SupportedFeatures = resize(m.SupportedFeatures, field.limitedLen(6, &supported, "features"))
			for i := range m.SupportedFeatures {
				f := &m.SupportedFeatures[i]
				f.Name = field.string(f.Name)
				f.Min = field.int16()
				f.Max = field.int16()
				field.skipTags()
			}
		case 1:
			m.FinalizedFeaturesEpoch = field.int64()
		case 2:
			m.FinalizedFeatures = resize(m.FinalizedFeatures, field.limitedLen(6, &finalized, "features"))
			for i := range m.FinalizedFeatures {
				f := &m.FinalizedFeatures[i]
				f.Name = field.string(f.Name)
				f.Max = field.int16()
				f.Min = field.int16()
				field.skipTags()
			}
		case 3:
			m.ZkMigrationReady = field.bool()
		default:
			continue
		}
		r.done(&field)
	}
}
