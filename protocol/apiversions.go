package protocol

// ApiVersionsRequest asks a broker which APIs it speaks in which versions. It is spoken in versions 0 to 4; 3 is flexible and
// adds both fields (KIP-511).
type ApiVersionsRequest struct {
	// SoftwareName and SoftwareVersion tell the broker what the client is. They consist of letters, digits, '-' and '.', and
	// begin and end with a letter or digit, or the broker answers INVALID_REQUEST. Below version 3 they are not sent.
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

// ApiVersionsResponse says which APIs a broker speaks in which versions. It is spoken in versions 0 to 4:
//
//   - 1 adds ThrottleMs
//   - 3 is flexible and adds the features (KIP-584)
//   - 4 can tell of features whose lowest version is 0
//
// A broker that does not speak the version asked for answers UNSUPPORTED_VERSION in version 0, so that every client can read
// it, with its range of ApiVersions in APIs (nothing there before Kafka 2.4). Decode and Append do likewise: with that code
// the body is one of version 0, whatever version is given.
type ApiVersionsResponse struct {
	ErrorCode ErrorCode
	APIs      []APIVersion
	// ThrottleMs is how long the client shall send nothing, in milliseconds.
	ThrottleMs int32
	// SupportedFeatures are the features that the broker has.
	SupportedFeatures []SupportedFeature
	// FinalizedFeaturesEpoch grows with FinalizedFeatures; -1 means that these are not known.
	FinalizedFeaturesEpoch int64
	// FinalizedFeatures are the features that the cluster uses.
	FinalizedFeatures []FinalizedFeature
	// ZkMigrationReady is said by controllers only.
	ZkMigrationReady bool
}

// APIVersion is the range of versions of one API.
type APIVersion struct {
	Key      APIKey
	Min, Max int16
}

// SupportedFeature is a feature with the range of levels that a broker can work at.
type SupportedFeature struct {
	Name     string
	Min, Max int16
}

// FinalizedFeature is a feature with the range of levels that the cluster has agreed on.
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

// appendTags writes the tagged fields that differ from their defaults.
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

// mostAPIs and mostFeatures bound an ApiVersionsResponse, the first words of a server of which nothing is known. Kafka 4.3 has fewer than
// 100 APIs and 10 features.
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
