// SPDX-License-Identifier: LGPL-2.1-or-later
// Draws the dashboard from the export in #data. What the export holds came out of dumps and is hostile: it only
// ever becomes text nodes and attribute values that cannot run; there is no innerHTML, no link made of data.
'use strict';
(() => {

const DAY = 86400000;
const ROW = 58;        // pixels, as .row in the style sheet
const OVERSCAN = 6;    // rows drawn above and below the visible ones
const MOST_BARS = 92;  // of a chart; more days than that share bars
const MOST_KERNELS = 300;  // in the menu; the search finds the others

const $ = id => document.getElementById(id);
const number = new Intl.NumberFormat('en');
const many = (n, one, more) => `${number.format(n)} ${n === 1 ? one : more || one + 's'}`;

/// An element with attributes and children; strings become text nodes.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}
function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// ---- the data ----

const text = value => value === null || value === undefined ? '' : String(value);
const list = value => Array.isArray(value) ? value : [];
const object = value => value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {};
const count = value => Number.isFinite(value) && value > 0 ? value : 0;
/// Entries name -> count, largest first.
const tally = value => Object.entries(object(value)).map(([name, n]) => [name, count(n)])
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));

/// Days since 1970, null for what is no date.
function day_of(date) {
  const parts = /^(\d{4})-(\d{2})-(\d{2})/.exec(date);
  if (!parts) return null;
  const time = Date.UTC(+parts[1], +parts[2] - 1, +parts[3]);
  return Number.isFinite(time) ? time / DAY : null;
}
const date_of = day => new Date(day * DAY).toISOString().slice(0, 10);
const when = time => text(time).replace(/^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}).*$/, '$1 $2 UTC');

function kind_of(cause) {
  if (cause.startsWith('stack:')) return 'stack';
  if (cause.startsWith('title:')) return 'title';
  return cause === '' || cause === 'none' ? 'none' : 'rule';
}
const KINDS = {rule: 'a rule explains it', stack: 'only the function', title: 'only the title', none: 'no cause'};

function read_bucket(raw, index) {
  raw = object(raw);
  const root = raw.root_cause ? object(raw.root_cause) : null;
  const bucket = {
    index,
    id: text(raw.id), title: text(raw.title) || text(raw.cause) || text(raw.id), class: text(raw.class), cause: text(raw.cause),
    kind: kind_of(text(raw.cause)), partial: raw.partial === true, facts: list(raw.facts).map(text),
    facets: Object.entries(object(raw.facets)).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : text(value)]),
    count: count(raw.count), first: text(raw.first_seen), last: text(raw.last_seen),
    days: Object.entries(object(raw.days)).map(([date, n]) => [day_of(date), count(n)]).filter(([day, n]) => day !== null && n > 0)
        .sort((a, b) => a[0] - b[0]),
    kernels: tally(raw.kernels),
    hosts: list(raw.hosts).map(host => typeof host === 'object' ? JSON.stringify(host) : text(host)),
    related: list(raw.related).map(other => typeof other === 'object' && other ? {id: text(other.id), why: text(other.why || other.level)} :
                                                                                  {id: text(other), why: ''}),
    root, regression: root !== null && root.regression === true,
    story: list(raw.story).map(text), map: raw.pmu_map ? object(raw.pmu_map) : null,
    exemplar: raw.exemplar ? object(raw.exemplar) : null
  };
  const fixes = root ? list(root.fix).map(fix => `${text(object(fix).id)} ${text(object(fix).title)}`) : [];
  bucket.text = [bucket.id, bucket.title, bucket.class, bucket.cause, ...bucket.facts, ...bucket.facets.map(f => f[1]),
                 ...bucket.kernels.map(k => k[0]), ...bucket.hosts, root ? text(root.rule) : '', root ? text(root.title) : '', ...fixes,
                 ...bucket.story, bucket.exemplar ? text(bucket.exemplar.summary) : '', bucket.exemplar ? text(bucket.exemplar.path) : '']
                    .join('\n').toLowerCase();
  bucket.has_kernel = new Set(bucket.kernels.map(k => k[0]));
  return bucket;
}

const data = object(JSON.parse($('data').textContent));
const buckets = list(data.buckets).map(read_bucket);
const by_id = new Map(buckets.map(bucket => [bucket.id, bucket]));

// A machine with a wrong clock must not stretch the time axis: it ends on the day of the export.
const today = (() => {
  const made = day_of(text(data.generated));
  if (made !== null) return made;
  return buckets.reduce((last, bucket) => bucket.days.reduce((l, d) => Math.max(l, d[0]), last), 0);
})();
// Nor are a few days drawn as wide as a wall.
const first_day = buckets.reduce((first, bucket) => bucket.days.length ? Math.min(first, bucket.days[0][0]) : first, today - 29);

/// Crashes of the seven days up to today, and of the seven before.
for (const bucket of buckets) {
  bucket.recent = bucket.before = 0;
  for (const [day, n] of bucket.days) {
    if (day > today - 7 && day <= today) bucket.recent += n;
    else if (day > today - 14 && day <= today - 7) bucket.before += n;
  }
  bucket.first_day = day_of(bucket.first);
}

// ---- charts ----

const span = {from: today, to: today};
const RANGES = [[30, '30 days'], [90, '90 days'], [365, 'one year'], [0, 'all time']];

/// Sums over the buckets of the days in the span, in at most `most` bars of equally many days.
function bins_of(summed, most) {
  const days = span.to - span.from + 1, width = Math.ceil(days / most);
  const bins = new Array(Math.ceil(days / width)).fill(0);
  for (const bucket of summed)
    for (const [day, n] of bucket.days)
      if (day >= span.from && day <= span.to) bins[Math.floor((day - span.from) / width)] += n;
  return {bins, width};
}

function spark(bucket) {
  const {bins} = bins_of([bucket], 30);
  const top = Math.max(...bins, 1), style = bucket.root ? 'known' : 'unknown';
  const picture = svg('svg', {viewBox: `0 0 ${bins.length} 100`, preserveAspectRatio: 'none', 'aria-hidden': 'true'});
  bins.forEach((n, i) => {
    const height = n ? Math.max(100 * n / top, 8) : 0;
    if (height) picture.append(svg('rect', {x: i + 0.08, y: 100 - height, width: 0.84, height, class: style}));
  });
  return picture;
}

/// Bars over time: crashes with a known root cause below, the others on top of them.
function chart(summed, label) {
  const low = bins_of(summed.filter(bucket => bucket.root), MOST_BARS), width = low.width;
  const high = bins_of(summed.filter(bucket => !bucket.root), MOST_BARS);
  const sums = low.bins.map((n, i) => n + high.bins[i]);
  const top = Math.max(...sums, 1), peak = sums.indexOf(Math.max(...sums));
  const days_of = i => {
    const from = span.from + i * width, to = Math.min(from + width - 1, span.to);
    return from === to ? date_of(from) : `${date_of(from)} to ${date_of(to)}`;
  };
  const total = sums.reduce((a, b) => a + b, 0);
  const summary = total === 0 ? `${label}: none from ${date_of(span.from)} to ${date_of(span.to)}` :
      `${label}, ${date_of(span.from)} to ${date_of(span.to)}: ${many(total, 'crash', 'crashes')}, most on ${days_of(peak)}: ${sums[peak]}`;
  const picture = svg('svg', {viewBox: `0 0 ${sums.length} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': summary});
  sums.forEach((n, i) => {
    const a = 100 * low.bins[i] / top, b = 100 * high.bins[i] / top;
    if (a) picture.append(svg('rect', {x: i + 0.08, y: 100 - a, width: 0.84, height: a, class: 'known'}));
    if (b) picture.append(svg('rect', {x: i + 0.08, y: 100 - a - b, width: 0.84, height: b, class: 'unknown'}));
    const hit = svg('rect', {x: i, y: 0, width: 1, height: 100, class: 'hit'});
    const tip = document.createElementNS('http://www.w3.org/2000/svg', 'title');
    tip.textContent = `${days_of(i)}: ${many(n, 'crash', 'crashes')}`;
    hit.append(tip);
    picture.append(hit);
  });
  return {
    width,
    node: el('div', {class: 'chart'}, el('div', {class: 'top', 'aria-hidden': 'true'}, el('span', {}, number.format(top)), el('span', {}, '0')), picture,
             el('div', {class: 'days', 'aria-hidden': 'true'}, el('span', {}, date_of(span.from)),
                sums.length > 20 ? el('span', {}, date_of(span.from + Math.floor((span.to - span.from) / 2))) : null,
                span.to > span.from ? el('span', {}, date_of(span.to)) : null))
  };
}

/// Name, bar, count; `make` wraps one line's parts in the element that holds them.
function bar_lines(entries, make) {
  const top = entries.reduce((most, entry) => Math.max(most, entry[1]), 1);
  return entries.map(([name, n]) => {
    const fill = el('span', {class: 'fill'});
    fill.style.width = `${100 * n / top}%`;
    return make(name, el('span', {class: 'name', title: name}, name), el('span', {class: 'track'}, fill),
                el('span', {class: 'value'}, number.format(n)));
  });
}

// ---- filters ----

const SORTS = {
  count: ['crashes', (a, b) => b.count - a.count],
  recent: ['crashes of the last 7 days', (a, b) => b.recent - a.recent || b.count - a.count],
  growth: ['growth in 7 days', (a, b) => (b.recent - b.before) - (a.recent - a.before) || b.count - a.count],
  last: ['last seen', (a, b) => a.last < b.last ? 1 : a.last > b.last ? -1 : b.count - a.count],
  first: ['first seen, newest on top', (a, b) => a.first < b.first ? 1 : a.first > b.first ? -1 : b.count - a.count],
  title: ['title', (a, b) => a.title < b.title ? -1 : a.title > b.title ? 1 : b.count - a.count]
};
const orders = {};  // sort -> buckets in that order; made once, so that a filter is one pass
const ordered = sort => orders[sort] || (orders[sort] = [...buckets].sort(SORTS[sort][1]));

const SEEN = {
  recent: [`in the last 7 days`, bucket => bucket.recent > 0],
  fresh: [`first in the last 7 days`, bucket => bucket.first_day !== null && bucket.first_day > today - 7],
  gone: [`not for 30 days`, bucket => !bucket.days.some(([day]) => day > today - 30)]
};
const MENUS = ['class', 'kind', 'root', 'kernel', 'seen'];
let shown = buckets;

function fill_menu(menu, any, entries) {
  const options = entries.map(([value, label]) => el('option', {value}, label));
  if (any !== null) options.unshift(el('option', {value: ''}, any));
  $(menu).replaceChildren(...options);
}
/// How many buckets have each value, largest first.
function values_of(of) {
  const sums = new Map();
  for (const bucket of buckets)
    for (const value of of(bucket)) sums.set(value, (sums.get(value) || 0) + 1);
  return [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

function fill_menus() {
  const named = ([value, n]) => [value, `${value || '(none)'} (${number.format(n)})`];
  fill_menu('class', 'any', values_of(b => [b.class]).map(named));
  fill_menu('kind', 'any', values_of(b => [b.kind]).map(([kind, n]) => [kind, `${KINDS[kind]} (${number.format(n)})`]));
  const rules = values_of(b => b.root ? [text(b.root.rule)] : []);
  fill_menu('root', 'any', [['+known', 'known'], ['+unknown', 'not known'], ...rules.map(([rule, n]) => [`=${rule}`, named([rule, n])[1]])]);
  const kernels = values_of(b => b.kernels.map(k => k[0]));
  fill_menu('kernel', kernels.length > MOST_KERNELS ? `any of ${number.format(kernels.length)}` : 'any', kernels.slice(0, MOST_KERNELS).map(named));
  fill_menu('seen', 'any time', Object.entries(SEEN).map(([value, [label]]) => [value, label]));
  fill_menu('sort', null, Object.entries(SORTS).map(([value, [label]]) => [value, label]));
  const days = today - first_day + 1;
  fill_menu('range', null, RANGES.filter(([n]) => n < days).map(([n, label]) => [n, label]));
  $('range').value = days > 90 ? '90' : '0';
}

function set_range() {
  const days = Number($('range').value);
  span.to = today;
  span.from = days ? today - days + 1 : first_day;
}

function apply() {
  const words = $('search').value.toLowerCase().split(/\s+/).filter(word => word !== '');
  const wanted = Object.fromEntries(MENUS.map(menu => [menu, $(menu).value]));
  const regressions = $('regression').checked;
  const root_fits = bucket => wanted.root === '+known' ? bucket.root !== null : wanted.root === '+unknown' ? bucket.root === null :
      bucket.root !== null && text(bucket.root.rule) === wanted.root.slice(1);
  const fits = bucket =>
      ($('class').selectedIndex === 0 || bucket.class === wanted.class) && (!wanted.kind || bucket.kind === wanted.kind) &&
      (!wanted.root || root_fits(bucket)) && ($('kernel').selectedIndex <= 0 || bucket.has_kernel.has(wanted.kernel)) &&
      (!wanted.seen || SEEN[wanted.seen][1](bucket)) && (!regressions || bucket.regression) && words.every(word => bucket.text.includes(word));
  shown = ordered($('sort').value).filter(fits);
  for (const menu of MENUS) $(menu).classList.toggle('active', $(menu).selectedIndex > 0);
  const filters = MENUS.filter(menu => $(menu).selectedIndex > 0).length + (regressions ? 1 : 0);
  $('clear').disabled = filters === 0 && words.length === 0;
  $('more').textContent = filters ? `Filters (${filters})` : 'Filters';
  draw_overview();
  place();
}

function clear() {
  $('search').value = '';
  for (const menu of MENUS) $(menu).selectedIndex = 0;
  $('regression').checked = false;
  apply();
}

// ---- overview ----

function draw_overview() {
  const kernels = new Map();
  let crashes = 0, earlier = 0, later = 0;
  for (const bucket of shown) {
    crashes += bucket.count;
    for (const [day, n] of bucket.days) {
      if (day < span.from) earlier += n;
      else if (day > span.to) later += n;
    }
    for (const [kernel, n] of bucket.kernels) kernels.set(kernel, (kernels.get(kernel) || 0) + n);
  }
  const drawn = chart(shown, 'Crashes');
  $('total-chart').replaceChildren(drawn.node);
  $('total-title').textContent = drawn.width === 1 ? 'Crashes per day' : `Crashes per ${drawn.width} days`;
  $('outside').textContent = [earlier ? `${number.format(earlier)} earlier` : '', later ? `${number.format(later)} dated after this page was made` : '']
                                 .filter(part => part).join(', ');
  const entries = [...kernels].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const chosen = $('kernel').selectedIndex > 0 ? $('kernel').value : null;
  $('release-list').className = 'bars';
  $('release-list').replaceChildren(...bar_lines(entries.slice(0, 5), (name, ...parts) => {
    const button = el('button', {type: 'button', 'aria-pressed': String(chosen === name), title: `Show only ${name}`}, ...parts);
    button.addEventListener('click', () => {
      const option = [...$('kernel').options].findIndex((o, i) => i > 0 && o.value === name);
      $('kernel').selectedIndex = chosen === name ? 0 : Math.max(option, 0);
      apply();
      const again = [...$('release-list').querySelectorAll('button')].find(b => b.title === `Show only ${name}`);
      if (again) again.focus();
    });
    return el('li', {}, button);
  }));
  $('release-more').textContent = entries.length > 5 ? `and ${many(entries.length - 5, 'more release')}` : '';
  const part = shown.length === buckets.length ? many(buckets.length, 'bucket') :
      `${number.format(shown.length)} of ${many(buckets.length, 'bucket')}`;
  $('shown').textContent = `${part}, ${many(crashes, 'crash', 'crashes')}`;
}

// ---- the list: only the rows in sight exist ----

let active = -1;       // index into shown
let chosen_id = null;  // the bucket in the detail pane
let drawn_rows = '';

function badges(bucket) {
  const made = [];
  if (bucket.regression) made.push(el('span', {class: 'badge regression'}, 'regression?'));
  if (bucket.root && !bucket.regression) made.push(el('span', {class: 'badge known'}, 'known'));
  if (bucket.partial) made.push(el('span', {class: 'badge partial'}, 'partial'));
  return made;
}

function trend(bucket) {
  const change = bucket.recent - bucket.before;
  const sign = change > 0 ? '▲' : change < 0 ? '▼' : '';
  const words = change === 0 ? 'as many as in the 7 days before' : `${Math.abs(change)} ${change > 0 ? 'more' : 'fewer'} than in the 7 days before`;
  return el('span', {class: `trend ${change > 0 ? 'up' : change < 0 ? 'down' : ''}`, title: `${bucket.recent} in the last 7 days, ${words}`},
            change === 0 ? number.format(bucket.recent) : `${number.format(bucket.recent)} ${sign}${number.format(Math.abs(change))}`);
}

function row(bucket, position) {
  const node = el('div', {
    class: 'row', role: 'option', id: `bucket-${bucket.index}`, 'aria-posinset': position + 1, 'aria-setsize': shown.length,
    'aria-selected': String(position === active)
  }, el('span', {class: 'count'}, number.format(bucket.count)),
     el('span', {}, el('span', {class: 'title', title: bucket.title}, bucket.title),
        el('span', {class: 'line'}, ...badges(bucket), el('span', {class: 'sub'}, [bucket.class, bucket.cause, bucket.last.slice(0, 10)].filter(p => p).join(' · ')))),
     spark(bucket), trend(bucket));
  node.style.top = `${position * ROW}px`;
  node.addEventListener('click', () => { choose(position); if (narrow()) read(); });
  return node;
}

function draw_rows(force) {
  const view = $('list');
  const from = Math.max(Math.floor(view.scrollTop / ROW) - OVERSCAN, 0);
  const to = Math.min(Math.ceil((view.scrollTop + view.clientHeight) / ROW) + OVERSCAN, shown.length);
  const key = `${from} ${to}`;
  if (!force && key === drawn_rows) return;
  drawn_rows = key;
  const rows = [];
  for (let i = from; i < to; ++i) rows.push(row(shown[i], i));
  $('space').replaceChildren(...rows);
  if (active >= from && active < to) view.setAttribute('aria-activedescendant', `bucket-${shown[active].index}`);
  else view.removeAttribute('aria-activedescendant');
}

/// After another filter or order: the chosen bucket stays chosen while it is listed.
function place() {
  $('space').style.height = `${shown.length * ROW}px`;
  $('none').hidden = shown.length !== 0;
  $('list').hidden = shown.length === 0;
  active = shown.findIndex(bucket => bucket.id === chosen_id);
  if (active < 0 && shown.length) {
    active = 0;
    show_detail(shown[0]);
  }
  if (!shown.length) show_detail(null);
  reveal();
  draw_rows(true);
}

function reveal() {
  if (active < 0) return;
  const view = $('list'), top = active * ROW;
  if (top < view.scrollTop) view.scrollTop = top;
  else if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
}

function choose(position) {
  if (!shown.length) return;
  active = Math.min(Math.max(position, 0), shown.length - 1);
  show_detail(shown[active]);
  reveal();
  draw_rows(true);
}

const narrow = () => window.matchMedia('(max-width: 900px)').matches;
function read() {
  if (active < 0) return;
  document.body.classList.add('reading');
  $('detail').focus({preventScroll: true});
  $('detail').scrollTop = 0;
}
function leave() {
  document.body.classList.remove('reading');
  $('list').focus();
}

// ---- one bucket ----

const CELLS = {
  missing: ['NULL', 'bad', 'active, but events[] holds no event for it: the next counter interrupt follows a NULL pointer'],
  mismatch: ['DIFF', 'bad', 'events[] holds something that is not this counter\'s event'],
  'no-counter': ['GONE', 'bad', 'in use, but the CPU has no such counter'],
  claimed: ['lost', 'warn', 'an event is assigned here, but the counter is off and events[] is empty'],
  running: ['run', 'good', 'active, with its event'],
  held: ['stop', 'warn', 'has an event, not active: stopped or throttled'],
  unread: ['?', 'warn', 'could not be read'],
  unused: ['-', 'idle', 'not in use']
};
/// General-purpose counters by number, fixed ones as f0.. (they start at bit 32, INTEL_PMC_IDX_FIXED).
const counter_name = value => value >= 32 && value < 47 ? `f${value - 32}` : text(value);

function pmu_map(map) {
  const cells = Object.entries(object(map.cells)).sort((a, b) => a[0] - b[0]);
  const found = new Set();
  const parts = [el('h3', {}, `Performance counters of CPU ${text(map.cpu)}`)];
  if (map.active_mask !== null && map.active_mask !== undefined)
    parts.push(el('p', {class: 'faint'}, 'active_mask ', el('span', {class: 'mono'}, text(map.active_mask))));
  parts.push(cells.length ? el('ul', {class: 'counters'}, ...cells.map(([counter, state]) => {
    const known = Object.hasOwn(CELLS, text(state)), [mark, style, meaning] = known ? CELLS[state] : [text(state), 'warn', ''];
    if (known) found.add(state);
    return el('li', {title: meaning}, el('span', {class: 'number'}, el('span', {class: 'hidden'}, 'counter '), counter_name(Number(counter))),
              el('span', {class: `state ${style}`}, mark));
  })) : el('p', {}, 'No counters are known.'));
  parts.push(el('ul', {class: 'legend'}, ...Object.keys(CELLS).filter(state => found.has(state)).map(state =>
      el('li', {}, el('b', {}, CELLS[state][0]), ` ${CELLS[state][2]}`))));
  const events = list(map.events).map(object);
  if (events.length) {
    parts.push(el('ul', {class: 'events', 'aria-label': 'Events scheduled on it'}, ...events.map(event => {
      const counter = event.counter === null || event.counter === undefined ? 'counter not read' : `counter ${counter_name(event.counter)}`;
      const state = [text(event.state), event.throttled === true ? 'throttled (it overflowed too often and waits for the next tick)' : '',
                     event.owner ? `opened by ${text(event.owner)}` : ''].filter(part => part).join('; ');
      return el('li', {}, el('b', {}, counter), ': ', text(event.counts), el('br'), el('span', {class: 'faint'}, state), ' ',
                el('span', {class: 'faint mono'}, text(event.address)));
    })));
  }
  return parts;
}

function root_cause(bucket) {
  const root = bucket.root;
  if (!root)
    return [el('div', {class: 'fix none'}, el('strong', {}, 'No known root cause.'),
               bucket.kind === 'stack' ? ` What these crashes share is the function ${bucket.cause.slice('stack:'.length)}.` : '')];
  const fixes = list(root.fix).map(fix => typeof fix === 'object' && fix ? fix : {id: fix});
  return [el('div', {class: bucket.regression ? 'fix again' : 'fix'}, el('strong', {}, text(root.title) || text(root.rule)),
             root.rule ? el('p', {class: 'mono'}, text(root.rule)) : null,
             fixes.length ? el('ul', {}, ...fixes.map(fix => {
               const releases = list(fix.releases).map(text).join(', ') || text(Array.isArray(fix.releases) ? '' : fix.releases);
               return el('li', {}, 'Fixed by ', el('code', {}, text(fix.id)), fix.title ? ` ${text(fix.title)}` : '',
                         releases ? el('span', {}, `; in ${releases}`) : null);
             })) : el('p', {}, 'No fix is known.'),
             bucket.regression ? el('p', {}, el('strong', {}, 'Regression?'), ' A kernel that should have the fix crashed this way.') : null)];
}

function facts_list(entries) {
  return el('dl', {class: 'facts'}, ...entries.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

function long_list(items, most, make) {
  const shown_items = items.slice(0, most).map(make);
  if (items.length <= most) return shown_items;
  const button = el('button', {type: 'button'}, `Show all ${number.format(items.length)}`);
  const holder = el('li', {}, button);
  button.addEventListener('click', () => holder.replaceWith(...items.slice(most).map(make)));
  return [...shown_items, holder];
}

function show_detail(bucket) {
  const pane = $('detail');
  chosen_id = bucket ? bucket.id : null;
  if (!bucket) {
    pane.replaceChildren(el('p', {class: 'notice'}, buckets.length ? 'No bucket is chosen.' : 'The store has no buckets yet.'));
    return;
  }
  const back = el('button', {type: 'button', class: 'back'}, '← Back to the list');
  back.addEventListener('click', leave);
  const parts = [back, el('h2', {id: 'detail-title'}, bucket.title),
                 el('div', {class: 'under'}, el('code', {}, bucket.id), el('span', {class: 'badge'}, bucket.class), ...badges(bucket))];
  const section = (title, ...nodes) => parts.push(el('h3', {}, title), ...nodes);

  section('Root cause', ...root_cause(bucket));
  const drawn = chart([bucket], `Crashes of ${bucket.title}`);
  section(drawn.width === 1 ? 'Crashes per day' : `Crashes per ${drawn.width} days`, drawn.node);
  parts.push(facts_list([['crashes', `${number.format(bucket.count)}; ${number.format(bucket.recent)} in the last 7 days, ${number.format(bucket.before)} in the 7 before`],
                         ['first seen', when(bucket.first) || 'not known'], ['last seen', when(bucket.last) || 'not known'],
                         ['cause', el('code', {}, bucket.cause)]]));
  if (bucket.story.length) section('What happened', el('ol', {class: 'story'}, ...bucket.story.map(step => el('li', {}, step))));
  if (bucket.map) parts.push(...pmu_map(bucket.map));
  if (bucket.kernels.length)
    section('Kernel releases', el('ul', {class: 'bars'}, ...long_list(bar_lines(bucket.kernels, (name, ...bar) => el('li', {}, ...bar)), 8, line => line)));
  if (bucket.facts.length) section('Facts that make the bucket', el('ul', {class: 'chips'}, ...bucket.facts.map(fact => el('li', {}, fact))));
  if (bucket.facets.length) section('Also kept', facts_list(bucket.facets));
  if (bucket.hosts.length)
    section(`Hosts (${number.format(bucket.hosts.length)})`, el('ul', {class: 'chips'}, ...long_list(bucket.hosts, 24, host => el('li', {}, host))));
  if (bucket.exemplar) {
    const e = bucket.exemplar;
    section('Exemplar', facts_list([['summary', text(e.summary)], ['file', e.path ? el('code', {}, text(e.path)) : ''], ['host', text(e.host)],
                                    ['time', when(e.time)], ['kernel', text(e.kernel)]].filter(entry => entry[1] !== '')));
  }
  if (bucket.related.length)
    section('Related buckets', el('div', {class: 'related'}, ...bucket.related.slice(0, 50).map(other => {
      const target = by_id.get(other.id);
      const label = `${target ? target.title : other.id}${other.why ? ` (${other.why})` : ''}`;
      if (!target || target === bucket) return el('span', {class: 'mono faint'}, label);
      const button = el('button', {type: 'button'}, label);
      button.addEventListener('click', () => go_to(target));
      return button;
    })));
  pane.setAttribute('aria-labelledby', 'detail-title');
  pane.replaceChildren(...parts);
  pane.scrollTop = 0;
  if (`#${bucket.id}` !== location.hash) history.replaceState(null, '', `#${encodeURIComponent(bucket.id)}`);
}

/// To a bucket from elsewhere than the list: filters that hide it are cleared.
function go_to(bucket) {
  chosen_id = bucket.id;
  if (!shown.includes(bucket)) clear();
  choose(shown.indexOf(bucket));
  $('detail').focus({preventScroll: true});
}

// ---- theme and keys ----

function stored(value) {
  try {  // a page opened from a file may have no storage
    if (value !== undefined) localStorage.setItem('perfcore-theme', value);
    return localStorage.getItem('perfcore-theme');
  } catch (error) {
    return null;
  }
}
const system_dark = window.matchMedia('(prefers-color-scheme: dark)');
let picked = stored();
function set_theme() {
  const dark = picked ? picked === 'dark' : system_dark.matches;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  $('theme').textContent = dark ? 'Light theme' : 'Dark theme';
}
$('theme').addEventListener('click', () => {
  picked = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  stored(picked);
  set_theme();
});
system_dark.addEventListener('change', set_theme);

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const target = event.target, typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  if (event.key === '/' && !(target instanceof HTMLInputElement && target.type === 'search')) {
    document.body.classList.remove('reading');
    $('search').focus();
    $('search').select();
    event.preventDefault();
  } else if (event.key === 'Escape' && $('detail').contains(target)) {
    leave();
  } else if (event.key === 'Escape' && target === $('search')) {
    if ($('search').value !== '') {
      $('search').value = '';
      apply();
    } else {
      $('list').focus();
    }
    event.preventDefault();
  } else if (event.key === 'Escape' && !typing && !$('clear').disabled) {
    clear();
  }
});
$('search').addEventListener('keydown', event => {
  if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
  event.preventDefault();
  $('list').focus();
});
$('list').addEventListener('keydown', event => {
  const page = Math.max(Math.floor($('list').clientHeight / ROW) - 1, 1);
  const to = {ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: shown.length - 1}[event.key];
  if (to !== undefined) choose(to);
  else if (event.key === 'Enter' || event.key === ' ') read();
  else return;
  event.preventDefault();
});

let frame = 0;
$('list').addEventListener('scroll', () => {
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw_rows(false); });
});
new ResizeObserver(() => draw_rows(false)).observe($('list'));

$('filters').addEventListener('submit', event => event.preventDefault());
$('search').addEventListener('input', apply);
for (const control of [...MENUS, 'regression']) $(control).addEventListener('change', apply);
$('sort').addEventListener('change', () => { apply(); choose(0); });
$('clear').addEventListener('click', () => { clear(); $('search').focus(); });
$('range').addEventListener('change', () => { set_range(); apply(); const now = by_id.get(chosen_id); if (now) show_detail(now); });
$('more').addEventListener('click', () => {
  const open = $('choices').classList.toggle('open');
  $('more').setAttribute('aria-expanded', String(open));
});

const asked = (() => {
  try {
    return by_id.get(decodeURIComponent(location.hash.slice(1)));
  } catch (error) {  // a hash that is no encoded text names no bucket
    return undefined;
  }
})();
set_theme();
fill_menus();
set_range();
$('summary').textContent = `${many(buckets.length, 'bucket')}, ${many(buckets.reduce((sum, bucket) => sum + bucket.count, 0), 'crash', 'crashes')}` +
    (data.generated ? `; made ${when(data.generated)}` : '');
if (asked) show_detail(asked);
apply();

})();
