package sftest

import "net/http"

// describeGlobal answers GET …/sobjects.
func (o *Org) describeGlobal(r *request) answer {
	list := make([]members, len(o.schema.objects))
	for i, obj := range o.schema.objects {
		list[i] = obj.head(r.base())
	}
	return jsonAnswer(http.StatusOK, members{{"encoding", "UTF-8"}, {"maxBatchSize", 200}, {"sobjects", list}})
}

// basic answers GET …/sobjects/X.
func (o *Org) basic(r *request) answer {
	return jsonAnswer(http.StatusOK, members{{"objectDescribe", r.object.head(r.base())}, {"recentItems", []any{}}})
}

// describe answers GET …/sobjects/X/describe.
func (o *Org) describe(r *request) answer {
	fields := make([]members, len(r.object.fields))
	for i, f := range r.object.fields {
		fields[i] = f.describe()
	}
	m := append(r.object.head(r.base()),
		member{"childRelationships", []any{}},
		member{"recordTypeInfos", []any{}},
		member{"supportedScopes", []any{}},
		member{"fields", fields},
	)
	return jsonAnswer(http.StatusOK, m)
}

// head is what every form of describe says of an object.
func (o *object) head(base string) members {
	url := base + "/sobjects/" + o.Name
	rows := !o.event
	return members{
		{"name", o.Name}, {"label", o.Label}, {"labelPlural", o.Label + "s"}, {"keyPrefix", o.Prefix},
		{"custom", o.custom}, {"customSetting", false}, {"deprecatedAndHidden", false}, {"activateable", false},
		{"createable", true}, {"updateable", rows}, {"deletable", rows}, {"undeletable", false}, {"mergeable", false},
		{"queryable", rows}, {"retrieveable", rows}, {"replicateable", rows}, {"searchable", false},
		{"layoutable", rows}, {"triggerable", true}, {"feedEnabled", false},
		{"urls", map[string]string{"sobject": url, "describe": url + "/describe", "rowTemplate": url + "/{ID}"}},
	}
}

// soap is a field's type in the words of the SOAP API.
func (f *field) soap() string {
	switch {
	case f.Type == Int:
		return "xsd:int"
	case f.number():
		return "xsd:double"
	case f.Type == Boolean:
		return "xsd:boolean"
	case f.Type == Date:
		return "xsd:date"
	case f.Type == DateTime:
		return "xsd:dateTime"
	case f.Type == Reference || f.Type == idType:
		return "tns:ID"
	}
	return "xsd:string"
}

func (f *field) describe() members {
	type pick struct {
		Active       bool   `json:"active"`
		DefaultValue bool   `json:"defaultValue"`
		Label        string `json:"label"`
		Value        string `json:"value"`
	}
	picks, refers, relation := []pick{}, []string{}, any(nil)
	for _, v := range f.Values {
		picks = append(picks, pick{true, false, v, v})
	}
	length, precision, scale, digits := f.Length, f.Precision, f.Scale, 0
	switch {
	case f.Type == Reference:
		refers, relation, length = []string{f.ReferenceTo}, f.relation(), 18
	case f.Type == Int:
		digits, precision = f.Precision, 0
	}
	long := f.Type == TextArea && f.Length > 255
	return members{
		{"name", f.Name}, {"label", f.Label}, {"type", f.Type}, {"soapType", f.soap()},
		{"length", length}, {"byteLength", length * 3}, {"precision", precision}, {"scale", scale}, {"digits", digits},
		{"custom", f.custom}, {"createable", !f.system}, {"updateable", !f.system},
		{"nillable", !f.Required && !f.system && f.Type != Boolean}, {"defaultedOnCreate", f.system || f.Type == Boolean},
		{"unique", f.Unique}, {"externalId", f.ExternalID}, {"idLookup", f.ExternalID || f.at == atID},
		{"caseSensitive", f.CaseSensitive || f.at == atID}, {"nameField", f.Name == "Name"},
		{"filterable", !long}, {"sortable", !long}, {"groupable", f.text() && !long}, {"aggregatable", !long},
		{"autoNumber", false}, {"calculated", false}, {"encrypted", false}, {"htmlFormatted", false},
		{"deprecatedAndHidden", false}, {"cascadeDelete", false}, {"restrictedDelete", false},
		{"permissionable", f.custom && !f.Required}, {"defaultValue", nil},
		{"picklistValues", picks}, {"restrictedPicklist", f.Restricted},
		{"referenceTo", refers}, {"relationshipName", relation},
	}
}

// limits answers GET …/limits: the allowance that the org counts, and those
// that it has and does not.
func (o *Org) limits(*request) answer {
	type limit struct{ Max, Remaining int }
	o.mu.Lock()
	defer o.mu.Unlock()
	most := o.opts.DailyCalls
	return jsonAnswer(http.StatusOK, map[string]limit{
		"DailyApiRequests":              {most, max(0, most-o.used)},
		"DailyBulkApiBatches":           {15_000, 15_000},
		"DailyBulkV2QueryJobs":          {10_000, 10_000},
		"HourlyPublishedPlatformEvents": {50_000, 50_000},
		"DataStorageMB":                 {5, 5},
		"FileStorageMB":                 {20, 20},
	})
}
