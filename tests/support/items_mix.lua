-- The items mix for wrk: root 1, get 3, create 1, in a fixed order; ids 1 to 100.
local get = {}
for id = 1, 100 do get[id] = wrk.format("GET", "/items/" .. id) end
local root = wrk.format("GET", "/")
local create = wrk.format("POST", "/items/", { ["Content-Type"] = "application/json" }, '{"name": "Item", "price": 12.5}')
local count = 0

request = function()
  count = count + 1
  local turn = count % 5
  if turn == 0 then return root end
  if turn == 1 then return create end
  return get[count * 7 % 100 + 1]
end
