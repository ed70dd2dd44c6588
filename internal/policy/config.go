package policy

import (
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"ecluse/internal/config"
)

// Config is what stands below policy: of a tenant.
type Config struct {
	Given bool `yaml:"-"` // it stands there, if only as {}

	Names    ListsConfig    `yaml:"names"`
	Types    ListsConfig    `yaml:"types"`
	Files    int64          `yaml:"files"`
	FileSize config.Bytes   `yaml:"file_size"`
	Size     config.Bytes   `yaml:"size"`
	Text     []string       `yaml:"text"`
	Macros   string         `yaml:"macros"`
	Honest   bool           `yaml:"honest_names"`
	Archives ArchivesConfig `yaml:"archives"`
}

// ListsConfig are two lists.
type ListsConfig struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// ArchivesConfig bounds what is opened.
type ArchivesConfig struct {
	Depth     int          `yaml:"depth"`
	Entries   int64        `yaml:"entries"`
	Size      config.Bytes `yaml:"size"`
	Ratio     int64        `yaml:"ratio"`
	Encrypted string       `yaml:"encrypted"`
}

// What macros: and encrypted: may say.
const (
	Allow = "allow"
	Deny  = "deny"
)

// SetDefaults is called where there is a policy.
func (c *Config) SetDefaults() {
	*c = Config{Given: true, Macros: Deny, Archives: ArchivesConfig{
		Depth: DefaultArchives.Depth, Entries: DefaultArchives.Entries, Size: config.Bytes(DefaultArchives.Size), Ratio: DefaultArchives.Ratio, Encrypted: Deny,
	}}
}

// phraseMost bounds a phrase, in bytes: what is read of a text is held in memory twice as long.
const phraseMost = 1024

// Validate names every fault.
func (c *Config) Validate(f *config.Faults) {
	if !c.Given {
		return
	}
	for key, n := range map[string]int64{"files": c.Files, "file_size": int64(c.FileSize), "size": int64(c.Size)} {
		if n < 0 {
			f.Add(key, "%d is below 0; 0 is no bound", n)
		}
	}
	for key, list := range map[string][]string{"names.allow": c.Names.Allow, "names.deny": c.Names.Deny} {
		for _, p := range list {
			if !doublestar.ValidatePattern(p) || p == "" {
				f.Add(key, "%q is no pattern: *.csv is for names, in/**/*.csv for paths", p)
			}
		}
	}
	for key, list := range map[string][]string{"types.allow": c.Types.Allow, "types.deny": c.Types.Deny} {
		for _, t := range list {
			if family, sub, ok := strings.Cut(t, "/"); !ok || family == "" || sub == "" || strings.ContainsAny(t, " ;") || strings.ToLower(t) != t {
				f.Add(key, "%q is no media type: write it as text/csv or image/*", t)
			}
		}
	}
	if i := slices.IndexFunc(c.Text, func(p string) bool { return strings.TrimSpace(p) == "" || len(p) > phraseMost }); i >= 0 {
		f.Add("text", "a phrase has 1 to %d bytes, and not only spaces", phraseMost)
	}
	for key, word := range map[string]string{"macros": c.Macros, "archives.encrypted": c.Archives.Encrypted} {
		if word != Allow && word != Deny {
			f.Add(key, "%q is neither allow nor deny", word)
		}
	}
	if c.Archives.Depth < 0 || c.Archives.Depth > 32 {
		f.Add("archives.depth", "%d is not between 0 and 32", c.Archives.Depth)
	}
	for key, n := range map[string]int64{"archives.entries": c.Archives.Entries, "archives.size": int64(c.Archives.Size), "archives.ratio": c.Archives.Ratio} {
		if n < 1 {
			f.Add(key, "%d is below 1: what comes out of archives has a bound", n)
		}
	}
}

// Rules are what the configuration says.
func (c *Config) Rules() *Rules {
	return &Rules{
		Names: Lists(c.Names), Types: Lists(c.Types), Files: c.Files, FileSize: int64(c.FileSize), Size: int64(c.Size), Text: c.Text, Macros: c.Macros == Allow, Honest: c.Honest,
		Archives: Archives{Depth: c.Archives.Depth, Entries: c.Archives.Entries, Size: int64(c.Archives.Size), Ratio: c.Archives.Ratio, Encrypted: c.Archives.Encrypted == Allow},
	}
}
