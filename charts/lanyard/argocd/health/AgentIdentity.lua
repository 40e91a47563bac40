-- What Argo CD shows of an AgentIdentity.
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waiting for the operator to read it" }
end
local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end
local function shown(health, condition)
  return { status = health, message = condition.reason .. ": " .. (condition.message or "") }
end
if found.Accepted ~= nil and found.Accepted.status == "False" then
  return shown("Degraded", found.Accepted)
end
if found.Conflicted ~= nil and found.Conflicted.status == "True" then
  return shown("Degraded", found.Conflicted)
end
if found.Ready == nil then
  return { status = "Progressing", message = "waiting for the operator to decide" }
end
if found.Ready.status == "True" then
  return shown("Healthy", found.Ready)
end
return shown("Progressing", found.Ready)
