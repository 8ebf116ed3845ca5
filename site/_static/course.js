// Evidence: shows the rows of the table that hold the words typed above it. Boxes that scroll can be
// reached with the keyboard, and the sidebar is a landmark for screen readers.
document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  sidebar?.setAttribute("role", "complementary");
  sidebar?.setAttribute("aria-label", "Pages of the course");
  // A column without a name is no heading to a screen reader.
  for (const head of document.querySelectorAll("th")) {
    if (!head.textContent.trim()) head.replaceWith(document.createElement("td"));
  }
  for (const box of document.querySelectorAll(".highlight pre, .bd-article table, .cell_output pre")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
  const field = document.getElementById("filter");
  if (!field) return;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of document.querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
});
