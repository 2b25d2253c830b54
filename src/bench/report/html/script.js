// Reads the value under the pointer. The page is whole without it.
const tip = document.getElementById('tip');
for (const svg of document.querySelectorAll('svg[data-chart]')) {
  const data = JSON.parse(document.querySelector(`script[data-of="${svg.dataset.chart}"]`).textContent);
  const cross = svg.querySelector('.cross');
  const hide = () => { tip.hidden = true; cross.setAttribute('d', ''); };
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    if (x < data.left || x > data.right) return hide();
    const slot = Math.floor((x - data.left) / (data.right - data.left) * data.seconds / data.slot);
    const rows = data.curves.filter(curve => curve.values[slot] != null);
    if (!rows.length) return hide();
    cross.setAttribute('d', `M${x} ${data.top}V${data.bottom}`);
    const title = document.createElement('b');
    title.textContent = data.slot === 1 ? `second ${slot}` : `seconds ${slot * data.slot} to ${(slot + 1) * data.slot}`;
    tip.replaceChildren(title, ...rows.map(curve => {
      const row = document.createElement('div');
      const stroke = document.createElement('i');
      stroke.className = curve.class;
      row.append(stroke, `${curve.name} ${curve.values[slot]}`);
      return row;
    }));
    tip.hidden = false;
    const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
    tip.style.left = `${left}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  });
}
