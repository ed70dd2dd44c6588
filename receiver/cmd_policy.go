package main

import (
	"fmt"
	"strings"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/protocol/bundle"
)

// rules are what else the configuration says of what a tenant lets through.
func (t *TenantConfig) rules() []cli.Rule {
	who := map[string]string{"automatic": "nobody is asked", "one": "by one person", "two": "by two different persons"}
	quota := "no bound"
	if t.Quota > 0 {
		quota = config.FormatBytes(int64(t.Quota)) + " are held at the most"
	}
	to, words := []string{}, []string{}
	for _, d := range t.Deliver {
		if name := d.name(); d.Directory == "" {
			to, words = append(to, name), append(words, name)
			continue
		}
		to, words = append(to, d.Directory), append(words, fmt.Sprintf("%s (a name that is taken: %s)", d.Directory, d.Clash))
	}
	if len(to) == 0 {
		words = append(words, "nowhere: what is released stays")
	}
	inspectors, officers := "nobody is asked beside", "all that there are"
	if len(t.Policy.Inspectors) > 0 {
		inspectors = strings.Join(t.Policy.Inspectors, ", ") + " must have said that it is clean"
	}
	if len(t.Officers) > 0 {
		officers = strings.Join(t.Officers, ", ")
	}
	return []cli.Rule{
		{Key: "signatures", Value: t.Policy.Signatures.value(), Words: t.Policy.Signatures.words()},
		{Key: "inspectors", Value: append([]string{}, t.Policy.Inspectors...), Words: inspectors}, {Key: "officers", Value: append([]string{}, t.Officers...), Words: officers},
		{Key: "override", Value: t.Override, Words: map[string]string{allow: "people may release what is flagged", deny: "what is flagged is not released"}[t.Override]},
		{Key: "separate", Value: t.Separate, Words: map[bool]string{true: "who has sent a bundle, or signed its content, does not release it", false: "who has sent a bundle may release it"}[t.Separate]},
		{Key: "release", Value: t.Release, Words: who[t.Release]}, {Key: "quota", Value: int64(t.Quota), Words: quota},
		{Key: "path_names", Value: t.Names, Words: t.Names}, {Key: "deliver", Value: to, Words: strings.Join(words, ", ")},
	}
}

// people are whom to ask about a tenant, for show; "" where nobody is named.
func (c *Config) people(tenant bundle.Name) string {
	for _, t := range c.Tenants {
		if t.Name == string(tenant) && (t.Owner != "" || t.Contact != "") {
			return " (" + cli.Clean(strings.Trim(t.Owner+", "+t.Contact, ", ")) + ")"
		}
	}
	return ""
}
